"""Prints a report or writes it to a file. A file is written whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from asapbench import durable
from asapbench.errors import AsapbenchError
from asapbench.paths import without_links
from asapbench.report.figures.picture import SUFFIXES, Illustration, picture
from asapbench.report.render import Format, render
from asapbench.report.table import Table
from asapbench.streams import is_terminal

STANDARD_OUTPUT = Path("-")

_ENDINGS = {
    ".txt": Format.TERMINAL,
    ".md": Format.MARKDOWN,
    ".tex": Format.LATEX,
    ".csv": Format.CSV,
    ".json": Format.JSON,
    **dict.fromkeys(SUFFIXES),
}
"""The format of the table that a file name asks for, or None for the picture."""

_UNCUT = 1_000_000
"""Columns of output that no line reaches."""

_TABLES = [ending for ending, form in _ENDINGS.items() if form is not None]


def deliver(report: Table | Illustration, *, form: Format | None, out: Path | None, is_uncut: bool = False) -> None:
    """Prints a report, or writes it to `out`, in the format that `chosen_format` returns.

    `is_uncut`: a row stays one line where the output is no terminal. Raises AsapbenchError as `check` does.
    """
    check(form, out, has_picture=isinstance(report, Illustration))
    table = report.table if isinstance(report, Illustration) else report
    wanted = chosen_format(form, out)
    if out is None or out == STANDARD_OUTPUT:
        show(table, wanted or Format.TERMINAL, is_uncut=is_uncut)
    elif wanted is not None:
        write_whole(out, render(table, wanted, width=_UNCUT if is_uncut else 100))
    elif isinstance(report, Illustration):
        write_whole(out, picture(report, out.suffix.lower()))


def chosen_format(form: Format | None, out: Path | None) -> Format | None:
    """The format of the table by `--format`, else by the ending of `out`; None for the picture.

    Raises AsapbenchError if neither names a format, or if they contradict each other.

    >>> chosen_format(None, Path("table.tex")), chosen_format(None, Path("figure.png"))
    (<Format.LATEX: 'latex'>, None)
    """
    if out is None or out == STANDARD_OUTPUT:
        return form or Format.TERMINAL
    ending = out.suffix.lower()
    if ending in _ENDINGS:
        asked = _ENDINGS[ending]
        if form is None or form is asked:
            return asked
        what = "a picture" if asked is None else asked
        raise AsapbenchError(f"--out {out}: this name asks for {what}, --format {form} does not; leave one of them out")
    if form is not None:
        return form
    kind = f'"{ending}" is not a supported format' if ending else "the name has no ending that names the format"
    raise AsapbenchError(
        f"--out {out}: {kind}; end it in {_or(_TABLES)}, for a figure's picture in {_or(SUFFIXES)}, or add --format"
    )


def check(form: Format | None, out: Path | None, *, has_picture: bool) -> None:
    """Raises AsapbenchError if a report cannot be written to `out`. Commands check this before a long measurement."""
    if out is None or out == STANDARD_OUTPUT:
        return
    durable.check_place(out, f"--out {out}")
    if chosen_format(form, out) is None and not has_picture:
        raise AsapbenchError(f"--out {out}: a table is no picture; end the name in {_or(_TABLES)}")


def write_whole(path: Path, content: str | bytes, *, what: str | None = None) -> None:
    """Writes `content`, text as UTF-8, whole or not at all.

    Raises AsapbenchError, which calls the file `what`, by default `--out PATH`.
    """
    what = f"--out {path}" if what is None else what
    durable.check_place(path, what)
    # A link stays a link: its target is replaced.
    try:
        durable.write_whole(without_links(path), [content if isinstance(content, bytes) else content.encode()])
    except OSError as error:
        raise AsapbenchError(f"{what}: the report cannot be written: {error.strerror or error}") from error


def show(table: Table, form: Format, *, is_uncut: bool = False) -> None:
    """Prints a report, on a terminal in colour and in its width; otherwise COLUMNS or 100 columns wide, or uncut."""
    terminal = is_terminal(sys.stdout)
    width = _UNCUT if is_uncut and not terminal else shutil.get_terminal_size(fallback=(100, 24)).columns
    color, encoding = terminal and "NO_COLOR" not in os.environ, sys.stdout.encoding or "utf-8"
    sys.stdout.write(render(table, form, width=width, color=color, encoding=encoding))


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
