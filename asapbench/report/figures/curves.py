"""Learning curves: a quantity by epoch, one line for each configuration, mean and spread over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from asapbench.metrics import EpochMetrics
from asapbench.report.configuration import measured_field
from asapbench.report.figures import style
from asapbench.report.figures.by_epoch import Averaged, ByEpoch, Line, Recorded, by_epoch, draw_line, label_epochs
from asapbench.report.figures.picture import Illustration
from asapbench.report.quantity import Quantity
from asapbench.report.statistics import Spread, Summary
from asapbench.report.table import Field, Footnotes, Note, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning_curves(
    recorded: Iterable[Recorded[EpochMetrics]], *, quantity: Quantity, heading: str, spread: Spread = Spread.SD
) -> Illustration:
    """The curves of all configurations with a recorded epoch, in the order in which they first appear.

    Raises AsapbenchError where there is none.
    """
    missing = "--curves: none of these cells has an epoch yet: wait until one has, or train them"
    found = by_epoch(
        recorded,
        lambda members: [curve(members, quantity)],
        heading=heading,
        metric=quantity.words,
        unit=quantity.unit,
        missing=missing,
        spread=spread,
    )
    described = f"{quantity.described}; {found.spread}."
    return Illustration(_table(found, described), lambda: _draw(found, described))


def curve(members: Sequence[Recorded[EpochMetrics]], quantity: Quantity) -> Line:
    """The mean and spread over `members` at each epoch that all of them have; no number where one is not finite."""
    by_seed = [[quantity.of(epoch) for epoch in one.rows] for one in members]
    samples = list(zip(*by_seed, strict=False))
    points = tuple(Summary(values if all(map(isfinite, values)) else ()) for values in samples)
    return Line("", tuple(range(1, len(points) + 1)), points)


def _table(found: ByEpoch, described: str) -> Table:
    counts = ", ".join(f"{count} {state}" for state, count in found.left_out.items())
    text = f"Not shown, because other trainings of the same configuration are finished: {counts}."
    named = zip(found.names, found.configurations, strict=True)
    return found.table(
        f"{described} The column titles are epochs",
        [(found.shared or "All", name, one.lines[0]) for name, one in named],
        stub="Configuration",
        field=lambda point: Field("") if point is None else measured_field(point, Footnotes(), found.band),
        notes=[Note(text)] if counts else [],
    )


def _draw(found: ByEpoch, described: str) -> Figure:
    count = len(found.configurations)
    style.require_room("--curves", count, style.LINES, what="lines", fix="choose with --only")
    labels = [style.folded(name, style.LEGEND_INCHES) for name in found.names]
    figure, axes = style.canvas(
        found.heading,
        f"{found.shared}. {described}" if found.shared else described,
        width=7.0 + max(map(style.inches_wide, labels)),
        height=max(4.5, 1.5 + sum(1 + label.count("\n") for label in labels) / style.LINES_PER_INCH),
    )
    drawn = zip(found.configurations, labels, _styles(found.configurations), strict=True)
    # The legend lists the lines from top to bottom, in the order of their last values.
    for one, label, look in sorted(drawn, key=lambda item: _height(item[0])):
        draw_line(axes, one.lines[0], label=label, markersize=5, style=look, band=found.band)
    axes.set_ylabel(f"{found.metric} in {found.unit}")
    label_epochs(axes)
    style.legend_beside(axes)
    return figure


def _height(configuration: Averaged) -> float:
    """The sort key from top to bottom; a line without any number is last."""
    mean = configuration.lines[0].end.mean
    return inf if mean is None else -mean


def _styles(configurations: Sequence[Averaged]) -> list[dict[str, Any]]:
    """One colour for each rule and dashes for the other differences, where there are enough of both; else by place."""
    rules = list(dict.fromkeys(one.cell.rule for one in configurations))
    others = list(dict.fromkeys(one.beside for one in configurations))
    if 1 < len(rules) <= len(style.COLORS) and len(others) <= len(style.DASHES):
        return [style.line_style(rules.index(one.cell.rule), dashes=others.index(one.beside)) for one in configurations]
    return [style.line_style(place) for place in range(len(configurations))]
