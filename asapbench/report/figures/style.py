"""The look of every picture: one set of sizes and fonts, independent of the user's matplotlib settings.

The colours, markers and dashes of rules are in `looks`, which the page uses too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.escape import visible
from asapbench.report.figures.looks import PALETTE
from asapbench.report.table import pieces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (*(color for name, color in PALETTE.items() if name != "ink"), PALETTE["ink"])
"""For what is no rule: layers, parts, ways of matching."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")

LINES = len(COLORS) * len(DASHES)
"""The number of lines that a reader can distinguish."""

PANELS = 12
"""The most panels of a picture."""

_LEGEND_INCHES = 3.0
"""Wider labels of a legend are broken into lines."""

_NARROW_PANEL = 2.2
"""Inches: narrower panels are not put side by side."""

_LOW_PANEL, _LOW_CANVAS = 1.8, 2.3
"""Inches: no panel becomes lower, nor the only one of a picture."""

_LEGEND_SHARE = 0.3
"""A legend that takes more of the width than this part is below the panels."""

_TITLE_SHARE = 0.68
"""The part of a panel's share of the width that its title may take: the axes are narrower, beside a legend too."""

_HANDLE_INCHES = 0.5
"""Of the line in front of a label, and of the space around both."""

_POINTS_PER_INCH = 72

_SCREEN_POINTS, _PRINT_POINTS = 10.0, 8.0
"""The size of text in a picture of its own width, and in one that is made for a place of given width."""


@dataclass(frozen=True)
class Sheet:
    """What a picture is drawn on: `width` in inches, by default the picture's own; with title and text, or without."""

    width: float | None = None
    heading: bool = True

    @property
    def points(self) -> float:
        """The size of text."""
        return _SCREEN_POINTS if self.width is None else _PRINT_POINTS


SCREEN = Sheet()


def _settings(points: float) -> dict[Any, Any]:
    """Matplotlib's settings for text of so many points."""
    scale = points / _SCREEN_POINTS
    return {
        "font.family": "DejaVu Sans",
        "font.size": points,
        "axes.titlesize": points,
        "axes.labelsize": points,
        "xtick.labelsize": 0.9 * points,
        "ytick.labelsize": 0.9 * points,
        "legend.fontsize": 0.9 * points,
        "lines.linewidth": 1.5 * scale**2,
        "lines.markersize": 5.0 * scale**2,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "legend.frameon": False,
        "legend.handlelength": 2.6,
        "savefig.dpi": 200 if points == _SCREEN_POINTS else 300,
        "svg.hashsalt": "asapbench",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
    }


@contextmanager
def styled(sheet: Sheet = SCREEN) -> Iterator[None]:
    """Inside this context matplotlib has these settings and its own defaults; no matplotlibrc applies."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_settings(sheet.points))
        yield


def canvas(title: str, subtitle: str, *, sheet: Sheet, width: float = 8.0, height: float = 4.5) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; width and height in inches, for the sheet that names no width."""
    figure, (axes,) = panels(title, subtitle, 1, sheet=sheet, width=width, height=height)
    return figure, axes


def panels(
    title: str,
    subtitle: str,
    count: int,
    *,
    sheet: Sheet,
    columns: int | None = None,
    width: float = 12.0,
    height: float = 4.5,
    keeps_height: bool = False,
) -> tuple[Figure, list[Axes]]:
    """As `canvas`, with `count` pairs of axes: `columns` (by default all) side by side, in rows of `height` inches.

    A sheet of given width has fewer side by side where they would be too narrow, and keeps their proportions, or with
    `keeps_height` their height in lines of text.
    """
    from matplotlib.figure import Figure

    columns = columns or count
    if sheet.width is not None:
        wanted = width / columns
        columns = max(1, min(columns, int(sheet.width / _NARROW_PANEL)))
        shrunk = sheet.points / _SCREEN_POINTS if keeps_height else sheet.width / columns / wanted
        width, height = sheet.width, min(height, max(_LOW_CANVAS if count == 1 else _LOW_PANEL, height * shrunk))
    rows = -(-count // columns)
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    inner: Any = figure
    if sheet.heading:
        text = folded(subtitle, 0.97 * width)
        figure.suptitle(folded(title, 0.75 * width), fontsize=1.2 * sheet.points, fontweight="bold", x=0.01, ha="left")
        inner = figure.subfigures(squeeze=False)[0, 0]
        inner.suptitle(text, fontsize=sheet.points, x=0.01, ha="left", color="#444444")
        heighten(figure, max(0, text.count("\n") - 1) * line_height())
        inner = inner.subfigures(squeeze=False)[0, 0]
    grid: list[Axes] = list(inner.subplots(rows, columns, squeeze=False).flat)
    for unused in grid[count:]:
        unused.remove()
    return figure, grid[:count]


def networks(
    title: str, subtitle: str, count: int, *, sheet: Sheet, option: str, what: str = "networks", low: bool = True
) -> tuple[Figure, list[Axes]]:
    """As `panels`, with one for each network: three side by side, four in two rows; several are less high if `low`.

    `option` asks for the picture. Raises AsapbenchError for more than `PANELS`.
    """
    require_room(option, count, PANELS, what=what, fix="choose with --only")
    columns = min(count, 2 if count in (2, 4) and low else 3)
    width, height = (8.0, 4.5) if columns == 1 else (2.0 + 4.0 * columns, 3.2 if low else 4.5)
    return panels(title, subtitle, count, sheet=sheet, columns=columns, width=width, height=height)


def title_panel(axes: Axes, title: str) -> None:
    """Puts a title above one of the panels, in lines of the panel's width."""
    figure = _figure(axes)
    text = folded(title, _TITLE_SHARE * figure.get_figwidth() / _columns(axes))
    axes.set_title(text, loc="left")
    heighten(figure, text.count("\n") * line_height())


def outer_labels(grid: Sequence[Axes], label: str) -> None:
    """Names the y axes of the panels in the first column."""
    for axes in grid:
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(label)


def heighten(figure: Figure, inches: float) -> None:
    """Makes the figure taller."""
    figure.set_figheight(figure.get_figheight() + inches)


def line_height() -> float:
    """Inches of a line of text."""
    from matplotlib import rcParams

    return 1.25 * float(rcParams["font.size"]) / _POINTS_PER_INCH


def literal(text: str) -> str:
    """`text` so that matplotlib prints it unchanged: `$` starts no formula, control characters become visible."""
    return visible(text).replace("$", r"\$")


def folded(text: str, inches: float) -> str:
    """`literal(text)` in lines of at most `inches`; a longer word has its own line."""
    lines: list[str] = []
    for piece in pieces(" ".join(visible(text).split())):
        if lines and inches_wide(lines[-1] + piece) <= inches:
            lines[-1] += piece
        else:
            lines.append(piece.lstrip())
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


def legend(grid: Sequence[Axes], handles: Sequence[Any], *, labels: Sequence[str] | None = None) -> None:
    """The legend of all panels, where it covers nothing: beside them where it is narrow enough, otherwise below."""
    place: Any = grid[0].get_figure()
    figure = _figure(grid[0])
    texts = _legend_texts(handles, labels)
    width, wide, high = figure.get_figwidth(), _legend_width(texts), 1.15 * line_height()
    if wide <= _LEGEND_SHARE * width:
        place.legend(handles, texts, loc="outside right upper")
        lines = sum(text.count("\n") + 1 for text in texts)
        heighten(figure, max(0.0, lines * high - 0.8 * figure.get_figheight()))
        return
    if wide > 0.49 * width:
        texts = _legend_texts(handles, labels, inches=0.49 * width - _HANDLE_INCHES)
        wide = _legend_width(texts)
    columns = max(1, min(len(texts), int(0.98 * width / wide)))
    place.legend(handles, texts, loc="outside lower left", ncols=columns)
    lines = max((text.count("\n") + 1 for text in texts), default=0) * -(-len(texts) // columns)
    heighten(figure, lines * high)


def legend_of_panel(axes: Axes, handles: Sequence[Any], *, labels: Sequence[str] | None = None) -> None:
    """The legend of one panel, as `legend` places that of all."""
    texts = _legend_texts(handles, labels)
    figure = _figure(axes)
    width, wide = figure.get_figwidth() / _columns(axes), _legend_width(texts)
    lines = sum(text.count("\n") + 1 for text in texts)
    if wide <= _LEGEND_SHARE * width:
        axes.legend(handles, texts, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.5)
        return
    columns = max(1, min(len(texts), int(0.95 * width / wide)))
    below = -3.2 * line_height() / (figure.get_figheight() / axes.get_subplotspec().get_gridspec().nrows)  # type: ignore[union-attr]
    axes.legend(handles, texts, loc="upper left", bbox_to_anchor=(0.0, below), ncols=columns, borderaxespad=0.0)
    heighten(figure, -(-lines // columns) * 1.15 * line_height())


def _figure(axes: Axes) -> Any:
    """The whole figure."""
    return axes.get_figure(root=True)


def _columns(axes: Axes) -> int:
    """How many panels are side by side."""
    return int(axes.get_subplotspec().get_gridspec().ncols)  # type: ignore[union-attr]


def _legend_texts(handles: Sequence[Any], labels: Sequence[str] | None, *, inches: float = _LEGEND_INCHES) -> list[str]:
    return [folded(label, inches) for label in labels or [handle.get_label() for handle in handles]]


def _legend_width(texts: Sequence[str]) -> float:
    return max(map(inches_wide, texts), default=0.0) + _HANDLE_INCHES
