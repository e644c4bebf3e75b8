"""Pages' parts that are made from the code when the site is built, as Markdown. Nothing of them is committed.

A page asks for one with an empty block, as in `{commands}`, or with an argument, as in `{rule} asap`.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main
from tables import code, table, values

from asapbench.cli import app
from asapbench.report.render.markdown import escape
from asapbench.suite.catalog import RULES, rule_class
from asapbench.suite.load import load, shipped
from asapbench.suite.tuning import REQUIRED, SEARCH

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATES = ROOT / "docs" / "certificates.md"
EXAMPLE = "example.html"


def commands(_argument: str = "") -> str:
    """Every command of the `asapbench` program with its arguments and options, as `--help` describes them."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="asapbench")
    groups: dict[str, list[str]] = {}
    for name, child in ((name, child) for name, child in root.commands.items() if not child.hidden):
        below = typer.Context(child, info_name=name, parent=context)
        groups.setdefault(child.rich_help_panel, []).extend(_described(child, below))
    return "\n\n".join(f"## {group}\n\n" + "\n\n".join(found) for group, found in groups.items())


def _described(command: Any, context: typer.Context) -> Iterator[str]:
    """A command, or each command below it."""
    for name, child in getattr(command, "commands", {}).items():
        yield from _described(child, typer.Context(child, info_name=name, parent=context))
    if not hasattr(command, "commands"):
        usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
        records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
        rows = [
            (f"`{names}`", " ".join(text.split())) for names, text in filter(None, records) if "--help" not in names
        ]
        name = context.command_path.removeprefix("asapbench ")
        listed = table(("argument or option", "meaning"), rows)
        yield f"### {name}\n\n{command.help}\n\n```text\n{usage}\n```\n\n{listed}"


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


def rule(name: str) -> str:
    """One rule of the catalog: its module's account, its options and its certificates."""
    entry = RULES[name]
    module = inspect.getdoc(inspect.getmodule(rule_class(name))) or ""
    account = {"As it is computed": as_markdown(module)} if "\n" in module else {}
    rows = [(f"`{o.name}`", code(o.default), values(o), o.help) for o in entry.options if o.is_given]
    options = table(("option", "default", "values", "meaning"), rows) if rows else "None."
    parts = {**account, "Options": options, "Certificates": _certificates(name)}
    return f"Source: {entry.source}.\n\n" + "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())


def as_markdown(docstring: str) -> str:
    r"""A docstring whose signs mean nothing to Markdown, except code and indented blocks.

    >>> print(as_markdown("W_1 * `x_1`"))
    W\_1 \* `x_1`
    """
    signs = re.compile(r"([\\*_<\[$])")
    lines = []
    for line in docstring.splitlines():
        pieces = [line] if line.startswith("    ") else line.split("`")
        pieces[::2] = [piece if line.startswith("    ") else signs.sub(r"\\\1", piece) for piece in pieces[::2]]
        lines.append("`".join(pieces))
    return "\n".join(lines)


def _certificates(name: str) -> str:
    """The rows of docs/certificates.md that are the rule's."""
    lines = CERTIFICATES.read_text(encoding="utf-8").splitlines()
    rows = [[field.strip() for field in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    header, *found = [row for row in rows if row[0] in ("rule", escape(name))]
    listed = table(header[1:], [row[1:] for row in found])
    return f"{listed}\n\n[What each column means](../certificates.md)."


def example(_argument: str = "") -> str:
    """A link to the page that `write_example` writes."""
    return f'<p><a href="{EXAMPLE}">An example of the page</a>: the measured results of this repository.</p>'


def write_example(folder: Path) -> None:
    """Writes what `asapbench html` makes of the measured results into `folder`. Raises RuntimeError with its error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASAPBENCH_")}
    command = [sys.executable, "-m", "asapbench", "html", "--measured", "--force", "--out", str(folder / EXAMPLE)]
    ran = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise RuntimeError(ran.stderr)


def tuning(_argument: str = "") -> str:
    """The keys of `[tune]`."""
    rows = [
        (f"`{name}`", "required" if name in REQUIRED else code(option.default), values(option), option.help)
        for name, option in SEARCH.items()
    ]
    return table(("key", "default", "values", "meaning"), rows)


PARTS: dict[str, Callable[[str], str]] = {
    "commands": commands,
    "example": example,
    "rule": rule,
    "suites": suites,
    "tuning": tuning,
}
"""What makes each part, by the name of its block; it takes the block's argument."""
