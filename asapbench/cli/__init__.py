"""The `asapbench` command: one module per command. Each parses, calls and prints; torch is never imported here."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from asapbench import __version__
from asapbench.cli import analyze, data
from asapbench.cli.bench import bench
from asapbench.cli.catalog import catalog
from asapbench.cli.check import check
from asapbench.cli.clean import clean
from asapbench.cli.command_groups import GroupedCommands
from asapbench.cli.compare import compare
from asapbench.cli.discard import discard, restore
from asapbench.cli.doctor import doctor
from asapbench.cli.evaluate import evaluate
from asapbench.cli.export import export
from asapbench.cli.html import html
from asapbench.cli.list_ import list_
from asapbench.cli.merge import merge
from asapbench.cli.options import CatalogCommand, Command, with_plugins
from asapbench.cli.report import report
from asapbench.cli.run import rerun, resume, run
from asapbench.cli.serve import serve
from asapbench.cli.show import show
from asapbench.cli.status import status
from asapbench.cli.text import say
from asapbench.cli.tune import tune
from asapbench.cli.upgrade import upgrade
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.escape import let_every_sign_through
from asapbench.streams import output_of, steady_streams

app = typer.Typer(
    name="asapbench",
    cls=GroupedCommands,
    epilog="Example: asapbench run quickstart, then asapbench report --suite quickstart",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, tuple[Callable[..., None] | typer.Typer, ...]] = {
    "Start": (doctor, data.app, catalog),
    "Train": (run, tune, resume, rerun, clean),
    "Look": (status, list_, show, report, compare, serve, discard, restore),
    "Share": (html, export, merge, upgrade),
    "Check": (check, evaluate, bench, analyze.app),
}
"""By the group in which `--help` lists them."""
_SHORT = {"list": "ls"}
"""Other names of commands, which `--help` does not list."""
_WITHOUT_PLUGINS = (doctor, clean, merge, upgrade)
"""Commands without the option `--plugin`."""

for group, commands in COMMANDS.items():
    for command in commands:
        if isinstance(command, typer.Typer):
            app.add_typer(command, rich_help_panel=group)
        else:
            # doctor reports a broken plug-in as one of its findings.
            kind = Command if command is doctor else CatalogCommand
            whole = command if command in _WITHOUT_PLUGINS else with_plugins(command)
            name = command.__name__.rstrip("_")
            app.command(name, cls=kind, rich_help_panel=group)(whole)
            if name in _SHORT:
                app.command(_SHORT[name], cls=kind, hidden=True)(whole)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"asapbench {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version_option: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A benchmark suite for learning rules that train deep networks without weight transport."""


def main() -> None:
    """Runs the command line. Exit status: 0 done, 1 cells failed, 2 bad input, 3 stopped with work left."""
    gc.set_threshold(500_000)  # else a fourth of the time of reading 100,000 cells
    with steady_streams():
        status = _run()
        sys.stdout.flush()
        status = status or _status_of_output()
    sys.exit(status)


def _status_of_output() -> int:
    """0 if all output was written, or if the command's work does not depend on it; else 1 or 2."""
    output = output_of(sys.stdout)
    if output is None or output.lost is None or output.optional:
        return 0
    if isinstance(output.lost, BrokenPipeError):  # `| head` has read all that it needs
        return 1
    reason = output.lost.strerror
    say(
        f"error: standard output cannot be written to ({reason}): it is incomplete; free some space, or redirect it",
        err=True,
    )
    return 2


def _run() -> int:
    if not re.fullmatch(r"\d{1,4}", os.environ.get("COLUMNS", "80")):
        del os.environ["COLUMNS"]  # rich would take any digits, thousands of them too
    for stream in (sys.stdout, sys.stderr):
        let_every_sign_through(stream)
    try:
        app()
    except SystemExit as ended:  # as every command ends
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except AsapbenchError as error:
        text = str(error)
        # Several problems take one line each, so that an editor finds each place at the start of its line.
        say(f"error:\n{text}" if isinstance(error, SuiteError) and "\n" in text else f"error: {text}", err=True)
    except MemoryError as error:
        say(f"error: not enough memory: {error}", err=True)
    return 2


__all__ = ["app", "main"]
