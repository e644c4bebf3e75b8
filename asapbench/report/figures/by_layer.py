"""Values of layers by epoch, a panel for each configuration: what pictures of angles and of gradients have in common.

A line is the mean over the seeds that have the value, at the epochs that all of these seeds have; epoch 0 is before
training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.report.configuration import plain_field
from asapbench.report.figures.by_epoch import (
    ByEpoch,
    Line,
    Recorded,
    by_epoch,
    configuration_panels,
    draw_line,
    label_epochs,
)
from asapbench.report.figures.heatmap import draw_heatmaps
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import (
    COLORS,
    MARKERS,
    Sheet,
    legend,
    line_style,
    literal,
    outer_labels,
)
from asapbench.report.statistics import Spread, Summary
from asapbench.report.table import Note
from asapbench.suite.cell import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = 8
"""The most panels of a picture."""

WHOLE = "whole network"
"""The label of the line of the whole network, which is drawn thick and black."""

_REFERENCE = " of BP"


@dataclass(frozen=True)
class LayerValue:
    """The value of one layer after `epoch` epochs. `of_bp`: backpropagation's, which is drawn beside the rule's."""

    epoch: int
    layer: str
    value: float | None
    of_bp: bool = False


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown. `described` is the caption's text, without its end; `explained` is appended to the picture's.

    `option` asks for it, `missing` is the error where nothing is recorded. `levels` are drawn as dashed lines, and
    `scale` sets the axis of all panels' values. With `top`, where the colours end, it is drawn as heatmaps.
    """

    option: str
    metric: str
    unit: str
    axis: str
    described: str
    explained: str = ""
    digits: str
    missing: str
    levels: Sequence[float]
    scale: Callable[[Sequence[Axes], Sequence[float]], None]
    top: float | None = None


def layer_curves(
    recorded: Iterable[Recorded[LayerValue]],
    shown: Shown,
    *,
    heading: str,
    label: Callable[[Cell], str] | None = None,
    layers: Callable[[Cell], dict[str, str]] = lambda _: {},
    notes: Sequence[Note] = (),
) -> Illustration:
    """A panel for each configuration that has values, in the order in which they first appear.

    `label` names a configuration; by default the fields in which it differs from the others do. `layers` names layers
    by their names in the model; a layer that it lacks keeps its name.
    Raises AsapbenchError where no configuration has a value.
    """
    found = by_epoch(
        recorded,
        lambda members: layer_lines(members, layers(members[0].result.cell)),
        heading=heading,
        metric=shown.metric,
        unit=shown.unit,
        label=label,
        missing=shown.missing,
    )
    described = f"{found.shared}. {shown.described}" if found.shared else shown.described
    described = f"{described}; {found.spread}."
    table = found.table(
        f"{described} The column titles are epochs, 0 before training",
        [
            (name, line.label, line)
            for name, one in zip(found.names, found.configurations, strict=True)
            for line in one.lines
        ],
        stub="Layer",
        field=lambda point: plain_field(point, shown.digits),
        notes=notes,
    )
    if shown.top is not None:
        top, option = shown.top, shown.option
        text = described + shown.explained
        return Illustration(table, lambda sheet: draw_heatmaps(found, text, sheet, option=option, top=top))
    return Illustration(table, lambda sheet: _draw(found, shown, described + shown.explained, sheet))


def layer_lines(members: Sequence[Recorded[LayerValue]], titles: dict[str, str]) -> Iterator[Line]:
    """A line for each layer of the first of `members`, at the epochs that all of them have."""
    values = [{(row.layer, row.of_bp, row.epoch): row.value for row in one.rows} for one in members]
    for layer, of_bp in dict.fromkeys((row.layer, row.of_bp) for row in members[0].rows):
        epochs = [
            epoch
            for name, other, epoch in values[0]
            if (name, other) == (layer, of_bp) and all((layer, of_bp, epoch) in rows for rows in values)
        ]
        samples = [[rows[layer, of_bp, epoch] for rows in values] for epoch in epochs]
        points = [Summary(tuple(s for s in at_epoch if s is not None and None not in at_epoch)) for at_epoch in samples]
        yield Line(titles.get(layer, layer) + (_REFERENCE if of_bp else ""), tuple(epochs), tuple(points))


def _draw(found: ByEpoch, shown: Shown, described: str, sheet: Sheet) -> Figure:
    count = len(found.configurations)
    columns = min(2, count)
    styles = _styles(found)
    figure, grid = configuration_panels(
        found,
        described,
        option=shown.option,
        most=_PANELS,
        columns=columns,
        sheet=sheet,
        width=2.0 + 5.0 * columns,
        height=3.6 if count > 1 else max(3.6, 1.2 + 0.15 * len(styles)),
    )
    entries: dict[str, Any] = {}
    for axes, one in zip(grid, found.configurations, strict=True):
        entries |= _draw_panel(axes, one.lines, shown, styles)
    outer_labels(grid, shown.axis)
    shown.scale(grid, [number.measured for number in found.numbers if number.measured is not None])
    named = [label for label in styles if label in entries]
    legend(grid, [entries[label] for label in named], labels=named)
    return figure


def _styles(found: ByEpoch) -> dict[str, dict[str, Any]]:
    """By its label, how a layer is drawn in all panels; the whole network is last."""
    own = dict.fromkeys(line.label for one in found.configurations for line in _own(one.lines))
    layers = [label for label in own if label != WHOLE]
    styles = {label: _style(place, len(layers)) for place, label in enumerate(layers)}
    return styles | {WHOLE: {"color": "black", "linewidth": 2.5}}


def _draw_panel(axes: Axes, lines: Sequence[Line], shown: Shown, styles: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Draws the lines, and returns those of the legend by their labels."""
    entries = {}
    for line in lines:
        look = styles.get(line.label)
        if look is not None:
            entries[line.label] = draw_line(axes, line, label=literal(line.label), style=look, band=Spread.SD)
        else:
            color = styles[line.label.removesuffix(_REFERENCE)]["color"]
            look = {"color": color, "linestyle": ":", "linewidth": 1.0}
            draw_line(axes, line, label=literal(line.label), style=look, band=Spread.SD)
    for level in shown.levels:
        axes.axhline(level, color="black", linewidth=0.8, linestyle="--")
    label_epochs(axes)
    return entries


def _own(lines: Sequence[Line]) -> list[Line]:
    """The rule's lines, without those of backpropagation beside them."""
    labels = {line.label for line in lines}
    return [line for line in lines if line.label.removesuffix(_REFERENCE) not in labels - {line.label}]


def _style(place: int, count: int) -> dict[str, Any]:
    """The palette's for a few lines; for many, colours by depth, from the first layer to the last."""
    from matplotlib import colormaps

    if count <= len(COLORS):
        return line_style(place)
    return {"color": colormaps["viridis"](0.92 * place / (count - 1)), "marker": MARKERS[place % len(MARKERS)]}
