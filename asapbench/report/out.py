"""Puts a report where it was asked for: a file is written whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from asapbench.errors import AsapbenchError
from asapbench.report.figures.picture import SUFFIXES, Illustration, is_picture, picture
from asapbench.report.render import Format, render
from asapbench.report.table import Table

_OTHER_PICTURES = (".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".eps", ".ps", ".svgz")
"""Endings of pictures in formats that are not written: a table under such a name would be a surprise."""


def deliver(report: Table | Illustration, *, form: Format, out: Path | None) -> None:
    """Prints a report, or writes it to `out`: the picture where the name asks for one, else the table as `form`.

    Raises AsapbenchError for a file that cannot be written, and for a picture of what has none.
    """
    table = report.table if isinstance(report, Illustration) else report
    if out is None:
        show(table, form)
    elif out.suffix.lower() in _OTHER_PICTURES:
        raise AsapbenchError(f"--out {out}: pictures are written as {_or(SUFFIXES)}; name one of these")
    elif not is_picture(out):
        write_whole(out, render(table, form))
    elif not isinstance(report, Illustration):
        raise _no_picture(out)
    elif form is not Format.TERMINAL:
        raise AsapbenchError(
            f"--out {out}: this asks for a picture, --format {form} for a table; leave one of them out"
        )
    else:
        write_whole(out, picture(report, out.suffix.lower()))


def check(out: Path | None) -> None:
    """Raises AsapbenchError where a table could not be written to `out`: known before what takes long is measured."""
    if out is None:
        return
    if out.suffix.lower() in (*SUFFIXES, *_OTHER_PICTURES):
        raise _no_picture(out)
    _check_place(out, f"--out {out}")


def write_whole(path: Path, content: str | bytes, *, what: str | None = None) -> None:
    """Writes `content`, text as UTF-8, under a temporary name beside `path`, then renames.

    Raises AsapbenchError, which calls it `what`; `--out PATH` if that is left out.
    """
    what = f"--out {path}" if what is None else what
    _check_place(path, what)
    # A link stays a link: what it points to is replaced.
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise AsapbenchError(f"{what}: the report cannot be written: {error.strerror or error}") from error


def _check_place(path: Path, what: str) -> None:
    if os.path.exists(path) and not os.path.isfile(path):
        kind = "a directory; name a file in it" if os.path.isdir(path) else "not a file; leave --out away to print"
        raise AsapbenchError(f"{what}: this is {kind}")
    if not os.path.isdir(path.parent):
        raise AsapbenchError(f"{what}: there is no directory {path.parent}; create it first")


def show(table: Table, form: Format) -> None:
    """Prints a report. Colour and the terminal's width only where there is a terminal; else COLUMNS or 100."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size(fallback=(100, 24)).columns
    color, encoding = terminal and "NO_COLOR" not in os.environ, sys.stdout.encoding or "utf-8"
    sys.stdout.write(render(table, form, width=width, color=color, encoding=encoding))


def _no_picture(out: Path) -> AsapbenchError:
    return AsapbenchError(f"--out {out}: a table is no picture; name a file that does not end in {_or(SUFFIXES)}")


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
