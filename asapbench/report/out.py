"""Prints a report or writes it to a file. A file is written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from asapbench import durable
from asapbench.errors import AsapbenchError
from asapbench.paths import without_links
from asapbench.report import layout as layouts
from asapbench.report.figures.picture import SUFFIXES, Illustration, picture
from asapbench.report.figures.style import Sheet
from asapbench.report.layout import Layout
from asapbench.report.render import Format, render
from asapbench.report.table import Table
from asapbench.streams import is_terminal

STANDARD_OUTPUT = Path("-")

_ENDINGS = {
    ".txt": Format.TERMINAL,
    ".md": Format.MARKDOWN,
    ".html": Format.HTML,
    ".tex": Format.LATEX,
    ".csv": Format.CSV,
    ".json": Format.JSON,
    **dict.fromkeys(SUFFIXES),
}
"""The format of the table that a file name asks for, or None for the picture."""

_TABLES = [ending for ending, form in _ENDINGS.items() if form is not None]

FormT = TypeVar("FormT", bound=StrEnum)


def deliver(
    report: Table | Illustration,
    *,
    form: Format | None,
    out: Path | None,
    layout: Layout = layouts.PLAIN,
    is_uncut: bool = False,
) -> None:
    """Prints a report, or writes it to `out`, in the format that `chosen_format` returns.

    `is_uncut`: a row stays one line where the output is no terminal. Raises AsapbenchError as `check` does.
    """
    check(form, out, has_picture=isinstance(report, Illustration), layout=layout)
    wanted = chosen_format(form, out)
    if wanted is None and isinstance(report, Illustration) and out is not None:
        sheet = Sheet(layout.width, heading=not layout.no_caption)
        return write_whole(out, picture(report, out.suffix.lower(), sheet))
    table = layouts.arranged(report.table if isinstance(report, Illustration) else report, layout)
    if out is None or out == STANDARD_OUTPUT:
        return show(table, wanted or Format.TERMINAL, layout, is_uncut=is_uncut)
    if wanted is Format.HTML and isinstance(report, Illustration):
        return write_whole(out, _with_picture(table, report))
    width = None if is_uncut else 100
    text = render(table, wanted or Format.TERMINAL, width=width, inches=layout.width, label=layout.label)
    return write_whole(out, text)


def _with_picture(table: Table, report: Illustration) -> str:
    from asapbench.report.render.html import render_html

    return render_html(table, drawing=picture(report, ".svg", Sheet(heading=False)).decode())


def chosen_format(form: Format | None, out: Path | None) -> Format | None:
    """The format of the table by `--format`, else by the ending of `out`; None for the picture.

    Raises AsapbenchError if neither names a format, or if they contradict each other.

    >>> chosen_format(None, Path("table.tex")), chosen_format(None, Path("figure.png"))
    (<Format.LATEX: 'latex'>, None)
    """
    if out is None or out == STANDARD_OUTPUT:
        return form or Format.TERMINAL
    return by_ending(out, form, _ENDINGS, listed=f"{_or(_TABLES)}, for a figure's picture in {_or(SUFFIXES)}")


def by_ending(out: Path, form: FormT | None, endings: Mapping[str, FormT | None], *, listed: str = "") -> FormT | None:
    """The format by the name of `out` or by `--format`, None where the name asks for the picture.

    `endings` has the formats, and `listed` says them where they are not simply these. Raises AsapbenchError.
    """
    ending = out.suffix.lower()
    if ending in endings:
        asked = endings[ending]
        if form is None or form is asked:
            return asked
        what = "a picture" if asked is None else asked
        raise AsapbenchError(f"--out {out}: this name asks for {what}, --format {form} does not; leave one of them out")
    if form is not None:
        return form
    kind = f'"{ending}" is not a supported format' if ending else "the name has no ending that names the format"
    raise AsapbenchError(f"--out {out}: {kind}; end it in {listed or _or(list(endings))}, or add --format")


def check(form: Format | None, out: Path | None, *, has_picture: bool, layout: Layout = layouts.PLAIN) -> None:
    """Raises AsapbenchError if a report cannot be made or written so. Commands check this before a long measurement."""
    if out is not None and out != STANDARD_OUTPUT:
        durable.check_place(out, f"--out {out}")
    wanted = chosen_format(form, out)
    if wanted is None and not has_picture:
        others = _or([ending for ending in _TABLES if ending != ".tex"])
        raise AsapbenchError(
            f"--out {out}: this report is a table, not a picture; end the name in .tex, of which LaTeX makes a PDF, or "
            f"in {others}"
        )
    fits = {
        "--digits": (layout.digits, wanted is not None, "a picture has no digits"),
        "--transpose": (layout.transpose or None, wanted is not None, "a picture has no rows"),
        "--label": (layout.label, wanted is Format.LATEX, r"only LaTeX has a \label"),
        "--width": (layout.width, wanted in (None, Format.LATEX), "only pictures and LaTeX have a width"),
    }
    for option, (given, applies, why) in fits.items():
        if given is not None and not applies:
            raise AsapbenchError(f"{option}: {why}; leave it out, or choose another ending of --out")
    if layout.label is not None and layout.no_caption:
        raise AsapbenchError("--label: a bare tabular has none; leave out --label or --no-caption")
    if layout.label is not None and not re.fullmatch(r"[A-Za-z0-9:._/+-]{1,80}", layout.label):
        raise AsapbenchError(f"--label {layout.label}: write letters, digits and : . _ / + -, as in tab:quickstart")


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


def show(table: Table, form: Format, layout: Layout = layouts.PLAIN, *, is_uncut: bool = False) -> None:
    """Prints a report, on a terminal in colour and in its width; otherwise COLUMNS or 100 columns wide, or uncut."""
    terminal = is_terminal(sys.stdout)
    width = None if is_uncut and not terminal else shutil.get_terminal_size(fallback=(100, 24)).columns
    color, encoding = terminal and "NO_COLOR" not in os.environ, sys.stdout.encoding or "utf-8"
    text = render(table, form, width=width, color=color, encoding=encoding, inches=layout.width, label=layout.label)
    sys.stdout.write(text)


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
