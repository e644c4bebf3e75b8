"""A figure as a table and as a picture. The same numbers give the same bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.report.figures.style import SCREEN, Sheet, styled
from asapbench.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
"""File name endings that ask for the picture instead of the table."""

_NO_DATE: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


@dataclass(frozen=True)
class Illustration:
    """A figure: its numbers as a table, and the function that draws them."""

    table: Table
    drawing: Callable[[Sheet], Figure]

    def draw(self, sheet: Sheet = SCREEN) -> Figure:
        """The picture, not yet laid out. matplotlib's settings are those of `styled(sheet)`."""
        return self.drawing(sheet)


def picture(illustration: Illustration, suffix: str, sheet: Sheet = SCREEN) -> bytes:
    """The bytes of the picture in the format of `suffix`: `.png`, `.svg` or `.pdf`."""
    stream = io.BytesIO()
    with styled(sheet), warnings.catch_warnings():
        # A name from a database may have letters that the font lacks: matplotlib draws boxes for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = illustration.draw(sheet)
        figure.savefig(stream, format=suffix[1:], metadata=_NO_DATE[suffix])
    return stream.getvalue()
