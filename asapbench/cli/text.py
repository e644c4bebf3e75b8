"""How durations, sizes, tables and other people's text are printed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from asapbench.escape import encodable, printable, visible
from asapbench.streams import output_of

_LEAST = 12
"""Minimum width of a column that shrinks."""


def say(text: str, *, err: bool = False) -> None:
    """Prints `text` safely: control codes become visible, and what the stream cannot encode is replaced."""
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    typer.echo(encodable(printable(text), encoding), err=err)


def printing_is_optional() -> None:
    """From now on the exit status depends only on the command's work, not on whether it could be printed."""
    if (output := output_of(sys.stdout)) is not None:
        output.optional = True


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def size(count: float) -> str:
    """`310 MB`, `1.2 GB`: decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def percent(fraction: float | None) -> str:
    """A fraction of 1 as `97.31 %`, None as `-`."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def count(number: int, noun: str) -> str:
    """`1 cell`, `3 cells`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, shrinks: str, left: Sequence[str] = ()
) -> None:
    """Prints a table of text; columns are aligned right, except those of `left`.

    In a terminal only the column `shrinks` becomes narrower, and the terminal wraps the rest. In other output nothing
    is cut.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    gap = 2
    widths = dict(zip(columns, (max(map(cell_len, texts)) for texts in zip(columns, *rows, strict=True)), strict=True))
    if sys.stdout.isatty():
        others = sum(width + gap for name, width in widths.items() if name != shrinks)
        widths[shrinks] = min(widths[shrinks], max(_LEAST, Console().width - others))
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold")
    for name, width in widths.items():
        table.add_column(
            name, justify="left" if name in left else "right", width=width, no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(visible(text)) for text in row))
    Console(highlight=False, width=sum(widths.values()) + gap * len(widths)).print(table)
