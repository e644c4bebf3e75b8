"""Values of layers by epoch as heatmaps, a panel for each configuration: depth from top to bottom, one scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asapbench.report.figures.by_epoch import Averaged, ByEpoch, configuration_panels, label_epochs
from asapbench.report.figures.style import PANELS, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = "cividis"
"""Colours whose lightness rises evenly, made for readers with and without a colour vision deficiency."""

_UNKNOWN = "#CCCCCC"

_ROW_INCHES = 0.16
"""The height of a layer."""


def draw_heatmaps(found: ByEpoch, described: str, sheet: Sheet, *, option: str, top: float) -> Figure:
    """A panel for each configuration; the colours are from 0 to `top`, or to the largest value if that is larger.

    Raises AsapbenchError where there are too many.
    """
    count = len(found.configurations)
    columns = min(count, 2 if count in (2, 4) else 3)
    most = max(len(one.lines) for one in found.configurations)
    figure, grid = configuration_panels(
        found,
        described,
        option=option,
        most=PANELS,
        columns=columns,
        sheet=sheet,
        width=2.5 + 3.5 * columns,
        height=0.9 + _ROW_INCHES * max(5, most),
        keeps_height=True,
    )
    values = [number.measured for number in found.numbers if number.measured is not None]
    limits = (0.0, max(top, *values))
    for axes, one in zip(grid, found.configurations, strict=True):
        drawn = _draw_panel(axes, one, limits)
    is_below = figure.get_figwidth() < _BESIDE
    bar = figure.colorbar(
        drawn, ax=grid, location="bottom" if is_below else "right", label=found.unit, aspect=40 if is_below else 25
    )
    bar.set_ticks(list(range(0, int(limits[1]) + 1, 30)))
    return figure


_BESIDE = 5.0
"""Inches: narrower pictures have the scale of colours below the panels."""


def _draw_panel(axes: Axes, one: Averaged, limits: tuple[float, float]) -> Any:
    import numpy as np

    epochs = sorted({epoch for line in one.lines for epoch in line.epochs})
    columns = range(epochs[0], epochs[-1] + 1)
    rows = []
    for line in one.lines:
        there = dict(zip(line.epochs, line.points, strict=True))
        means = (there[epoch].mean if epoch in there else None for epoch in columns)
        rows.append([np.nan if mean is None else mean for mean in means])
    edges = np.arange(len(columns) + 1) + epochs[0] - 0.5
    drawn = axes.pcolormesh(
        edges, np.arange(len(rows) + 1) - 0.5, np.array(rows), cmap=_COLORS, vmin=limits[0], vmax=limits[1]
    )
    axes.grid(visible=False)
    axes.set_facecolor(_UNKNOWN)
    axes.invert_yaxis()
    axes.set_yticks(range(len(rows)), [line.label for line in one.lines], fontsize="x-small")
    axes.tick_params(axis="y", length=0)
    label_epochs(axes)
    return drawn
