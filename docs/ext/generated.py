"""Pages' parts that are made from the code when the site is built, as Markdown. Nothing of them is committed.

A page asks for one with an empty block, as in `{commands}`, or with an argument, as in `{rule} asap`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import typer
import typer.main

from asapbench.cli import app
from asapbench.suite.load import load, shipped


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(field).replace("|", r"\|") for field in line) + " |" for line in lines)


def commands(_argument: str = "") -> str:
    """Every command of the `asapbench` program with its arguments and options, as `--help` describes them."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="asapbench")
    return "\n\n".join(_command(command, context) for command, context in _commands(root, context))


def _commands(command: Any, context: typer.Context) -> Iterator[tuple[Any, typer.Context]]:
    for name, child in command.commands.items():
        below = typer.Context(child, info_name=name, parent=context)
        if hasattr(child, "commands"):
            yield from _commands(child, below)
        else:
            yield child, below


def _command(command: Any, context: typer.Context) -> str:
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [(f"`{names}`", " ".join(text.split())) for names, text in filter(None, records) if "--help" not in names]
    name = context.command_path.removeprefix("asapbench ")
    return "\n\n".join(
        (f"## {name}", command.help, f"```text\n{usage}\n```", table(("argument or option", "meaning"), rows))
    )


def suites(_argument: str = "") -> str:
    """Every shipped suite: how many cells of what, and its file."""
    return "\n\n".join(map(_suite, shipped()))


def _suite(name: str) -> str:
    suite = load(name)
    cells = suite.cells
    facts = {
        "cells": f"{len(cells):,}",
        "data sets": _distinct(cell.dataset.name for cell in cells),
        "models": _distinct(cell.model.name for cell in cells),
        "rules": _distinct(cell.rule.name for cell in cells),
        "optimizers": _distinct(cell.optimizer.name for cell in cells),
        "epochs": _distinct(cell.epochs for cell in cells),
        "seeds": _distinct(cell.seed for cell in cells),
        "tables of the paper": ", ".join(map(str, suite.tables)) or "none",
    }
    listed = table(("", ""), facts.items())
    return f"## {name}\n\n{suite.title}.\n\n{listed}\n\n```toml\n{suite.text.rstrip()}\n```"


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(f"`{value}`" if isinstance(value, str) else str(value) for value in dict.fromkeys(values))


PARTS: dict[str, Callable[[str], str]] = {"commands": commands, "suites": suites}
"""What makes each part, by the name of its block; it takes the block's argument."""
