"""How durations, sizes, tables and other people's text are printed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import typer
from rich.cells import cell_len, set_cell_size

from asapbench.escape import encodable, printable, visible
from asapbench.streams import output_of

_GAP = "  "
_LEAST = 8
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
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), shrinks: str | None = None
) -> None:
    """Prints `table_lines` at the terminal's width; in other output nothing is cut."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    say("\n".join(table_lines(columns, rows, left=left, shrinks=shrinks, width=width)))


def table_lines(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[str] = (),
    shrinks: str | None = None,
    width: int | None = None,
) -> list[str]:
    """A header and a line for each row; columns are aligned right, except those of `left`.

    If the table is wider than `width`, only the column `shrinks` becomes narrower; the rest is left to the terminal.

    >>> table_lines(("rule", "test"), [("ASAP", "97.31 %"), ("BP", "-")], left=["rule"])
    ['rule     test', 'ASAP  97.31 %', 'BP          -']
    """
    texts = [tuple(map(visible, row)) for row in (columns, *rows)]
    widths = dict(zip(columns, (max(map(cell_len, column)) for column in zip(*texts, strict=True)), strict=True))
    if shrinks is not None and width is not None:
        others = sum(widths.values()) - widths[shrinks] + len(_GAP) * (len(columns) - 1)
        widths[shrinks] = min(widths[shrinks], max(_LEAST, width - others))
    aligned = [(room, name in left) for name, room in widths.items()]
    return [
        _GAP.join(_fitted(text, *column) for text, column in zip(row, aligned, strict=True)).rstrip() for row in texts
    ]


def _fitted(text: str, room: int, is_left: bool) -> str:
    if cell_len(text) > room:
        text = set_cell_size(text, room - 1) + "…"
    blanks = " " * (room - cell_len(text))
    return text + blanks if is_left else blanks + text
