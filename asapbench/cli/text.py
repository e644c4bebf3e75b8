"""Prints durations, sizes, tables and text of other people."""

from __future__ import annotations

import math
import shutil
import sys
import textwrap
from collections.abc import Sequence

import typer

from asapbench.escape import encodable, printable
from asapbench.streams import is_terminal, output_of


def say(text: str, *, err: bool = False) -> None:
    """Prints `text` safely: control codes become visible, and what the stream cannot encode is replaced."""
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    typer.echo(encodable(printable(text), encoding), err=err)


def say_wrapped(start: str, text: str) -> None:
    """Prints `text` after `start`; on a terminal its further lines are indented below it."""
    lines = [text]
    if is_terminal(sys.stdout):
        room = max(shutil.get_terminal_size().columns - len(start), 20)
        lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        say(f"{' ' * len(start) if number else start}{line}".rstrip())


def printing_is_optional() -> None:
    """Makes the exit status depend only on the command's work from now on, not on its output."""
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
    """A fraction of 1 as `97.31 %`; None and NaN as `-`."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.2f} %"


def count(number: int, noun: str) -> str:
    """`1 cell`, `3 cells`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()) -> None:
    """Prints rows below their titles. Columns are aligned right, except those of `left`.

    In a terminal that is too narrow, further columns follow in panels; in other output a row stays one line.
    """
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else math.inf
    for line in table_lines(titles, rows, left=left, width=width):
        say(line)


def table_lines(
    titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = (), width: float = math.inf
) -> list[str]:
    """The lines of `print_table`, at most `width` columns wide."""
    from asapbench.report.render.terminal import panels
    from asapbench.report.table import Column, Field, Group, Row

    columns = [Column(title, "left" if title in left else "right") for title in titles]
    group = Group("", tuple(Row(tuple(map(Field, row))) for row in rows))
    lines: list[str] = []
    for panel in panels(columns, (group,), width=width):
        lines += [*([""] if lines else []), *(line.plain.rstrip() for line in panel)]
    return lines
