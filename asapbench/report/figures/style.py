"""The look of every picture: one set of sizes and fonts, independent of the user's matplotlib settings.

The colours, markers and dashes of rules are in `looks`, which the page uses too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.escape import visible
from asapbench.report.figures.looks import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

COLORS = (*(color for name, color in PALETTE.items() if name != "ink"), PALETTE["ink"])
"""For what is no rule: layers, parts, ways of matching."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")

LINES = len(COLORS) * len(DASHES)
"""The number of lines that a reader can distinguish."""

LINES_PER_INCH = 4
"""Approximate lines of text in one inch, for the height of legends."""

LEGEND_INCHES = 3.0
"""Wider labels of a legend are broken into lines."""

_POINTS_PER_INCH = 72

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "savefig.dpi": 200,
    "svg.hashsalt": "asapbench",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Inside this context matplotlib has these settings and its own defaults; no matplotlibrc applies."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def canvas(title: str, subtitle: str, *, width: float = 8.0, height: float = 4.5) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; width and height in inches."""
    figure, (axes,) = panels(title, subtitle, 1, width=width, height=height)
    return figure, axes


def panels(
    title: str, subtitle: str, count: int, *, columns: int | None = None, width: float = 12.0, height: float = 4.5
) -> tuple[Figure, list[Axes]]:
    """As `canvas`, with `count` pairs of axes: `columns` (by default all) side by side, in rows of `height` inches."""
    from matplotlib.figure import Figure

    columns = columns or count
    rows = -(-count // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    figure.suptitle(literal(title), fontsize=12, fontweight="bold", x=0.01, ha="left")
    inner: SubFigure = figure.subfigures(squeeze=False)[0, 0]
    inner.suptitle(folded(subtitle, 0.97 * width), fontsize=10, x=0.01, ha="left", color="#444444")
    grid: list[Axes] = list(inner.subplots(rows, columns, squeeze=False).flat)
    for unused in grid[count:]:
        unused.remove()
    return figure, grid[:count]


def literal(text: str) -> str:
    """`text` so that matplotlib prints it unchanged: `$` starts no formula, control characters become visible."""
    return visible(text).replace("$", r"\$")


def folded(text: str, inches: float) -> str:
    """`literal(text)` in lines of at most `inches`; a longer word has its own line."""
    lines: list[str] = []
    for word in visible(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and inches_wide(longer) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(map(literal, lines))


def inches_wide(text: str) -> float:
    """The width of the longest line of `text` in the default font."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=rcParams["font.size"])
    widths = (text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] for line in text.split("\n"))
    return float(max(widths, default=0.0)) / _POINTS_PER_INCH


def require_room(option: str, count: int, most: int, *, what: str, fix: str) -> None:
    """Raises AsapbenchError for a picture of more than `most` lines, panels or the like."""
    if count > most:
        raise AsapbenchError(f"{option}: {count} {what} are too many for one picture, which takes {most}; {fix}")


def line_style(number: int, *, dashes: int | None = None) -> dict[str, Any]:
    """Colour, marker and dashes of line `number`, from 0. The first `LINES` differ from each other.

    `dashes` is the number of the dashes; by default they change when all colours have been used.
    """
    place = number % len(COLORS)
    dash = number // len(COLORS) if dashes is None else dashes
    return {"color": COLORS[place], "marker": MARKERS[place], "linestyle": DASHES[dash % len(DASHES)]}


def legend_beside(axes: Axes, handles: Sequence[Any] | None = None, *, fontsize: float | None = None) -> None:
    """The legend to the right of the axes, where it covers nothing."""
    options: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.5}
    if handles is not None:
        options["handles"] = list(handles)
    axes.legend(fontsize=fontsize, **options)
