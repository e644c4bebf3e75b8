"""Learning curves: a quantity against epochs, one line a configuration, mean and spread over its seeds.

Trainings that are done make the mean. A configuration without one is drawn from those under way, up to the epoch that
all of them have reached, or else from diverged ones, and says so: a mean never jumps because a seed ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any

from asapbench.errors import AsapbenchError
from asapbench.metrics import EpochMetrics
from asapbench.report.configuration import (
    MISSING,
    comparable,
    distinguishing_fields,
    measured_field,
    names,
    number,
    state_text,
)
from asapbench.report.figures.picture import Illustration
from asapbench.report.quantity import Quantity
from asapbench.report.statistics import Summary, spread_and_count, summarize, usual_count
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Row, Table
from asapbench.store import Result
from asapbench.suite.cell import Cell
from asapbench.suite.columns import field_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 5
"""Epochs that the printed table shows of the longest curve; the long form has all."""


@dataclass(frozen=True)
class Trained:
    """A cell's current attempt and the epochs of its lineage, in order."""

    result: Result
    epochs: Sequence[EpochMetrics]


@dataclass(frozen=True)
class Curve:
    """One configuration: for each epoch from 1 its summary over `n` seeds. `state`: of the trainings it is made of.

    `label` tells it from the others, `beside` without its rule.
    """

    cell: Cell
    label: str
    beside: str
    state: str
    n: int
    points: tuple[Summary, ...]

    @property
    def end(self) -> Summary:
        """The last epoch that has a number."""
        return next((point for point in reversed(self.points) if point.mean is not None), self.points[-1])


@dataclass(frozen=True)
class LearningCurves:
    """The numbers of the picture. `shared` is what all curves have in common; `left_out` counts trainings by state."""

    quantity: Quantity
    heading: str
    shared: str
    curves: tuple[Curve, ...]
    left_out: tuple[tuple[str, int], ...]

    @property
    def described(self) -> str:
        """What a line is, and over how many seeds."""
        return (
            f"{self.quantity.described}; {spread_and_count([curve.end for curve in self.curves], others='beside it')}."
        )

    @property
    def usual(self) -> int:
        """The usual number of seeds."""
        return usual_count(curve.end for curve in self.curves)


def learning_curves(trained: Iterable[Trained], *, quantity: Quantity, heading: str) -> Illustration:
    """The curves of every configuration of which an epoch is recorded, in the order in which they first appear.

    Raises AsapbenchError where there is none.
    """
    groups: dict[str, list[Trained]] = {}
    for one in trained:
        if one.epochs and not one.result.outdated:
            groups.setdefault(one.result.cell.group, []).append(one)
    if not groups:
        raise AsapbenchError("--curves: none of these cells has an epoch yet; `asapbench status` says what is running")
    chosen = {group: comparable(members) for group, members in groups.items()}
    left_out = _states(groups.values()) - _states(chosen.values())
    own, shared = distinguishing_fields([members[0].result.cell for members in chosen.values()])
    found = LearningCurves(
        quantity,
        heading,
        shared,
        tuple(_curve(members, own, quantity) for members in chosen.values()),
        tuple(left_out.items()),
    )
    return Illustration(_table(found), lambda: _draw(found))


def _states(groups: Iterable[Sequence[Trained]]) -> Counter[str]:
    return Counter(state_text(one.result) for members in groups for one in members)


def _curve(members: Sequence[Trained], own: Sequence[str], quantity: Quantity) -> Curve:
    cell = members[0].result.cell
    texts = {name: field_text(cell, name) for name in own}
    points = []
    for at_epoch in zip(*(one.epochs for one in members), strict=False):
        samples = [quantity.of(epoch) for epoch in at_epoch]
        points.append(summarize(samples if all(map(isfinite, samples)) else ()))
    return Curve(
        cell=cell,
        label=", ".join(texts.values()),
        beside=", ".join(text for name, text in texts.items() if name != "rule"),
        state="/".join(_states([members])),
        n=len(members),
        points=tuple(points),
    )


def _name(curve: Curve, usual: int) -> str:
    remarks = [*([] if curve.state == "done" else [curve.state]), *([] if curve.n == usual else [f"n = {curve.n}"])]
    return f"{curve.label} ({', '.join(remarks)})" if remarks else curve.label


def _table(found: LearningCurves) -> Table:
    epochs = _shown_epochs(found.curves)
    rows = [
        Row((Field(_name(curve, found.usual)), *(_field(curve, epoch) for epoch in epochs))) for curve in found.curves
    ]
    return Table(
        title=found.heading,
        caption=f"{found.described} Epochs stand above the columns; CSV and JSON hold every one.",
        columns=(Column("Configuration", "left"), *(Column(str(epoch)) for epoch in epochs)),
        groups=(Group(found.shared or "All", tuple(rows)),),
        notes=tuple(_notes(found)),
        numbers=tuple(
            number(
                point,
                names=names(curve.cell),
                metric=found.quantity.words,
                unit=found.quantity.unit,
                variant=f"{curve.label}, epoch {epoch}",
            )
            for curve in found.curves
            for epoch, point in enumerate(curve.points, start=1)
        ),
        metric=found.quantity.words,
        unit=found.quantity.unit,
    )


def _shown_epochs(curves: Sequence[Curve]) -> list[int]:
    """The first epoch, the last one of every curve, and some between, evenly."""
    longest = max(len(curve.points) for curve in curves)
    between = {round(1 + n * (longest - 1) / (_COLUMNS - 1)) for n in range(_COLUMNS)}
    return sorted(between | {len(curve.points) for curve in curves})


def _field(curve: Curve, epoch: int) -> Field:
    if epoch > len(curve.points):
        return Field("")
    point = curve.points[epoch - 1]
    return Field(MISSING, emphasis="faint") if point.mean is None else measured_field(point, Footnotes())


def _notes(found: LearningCurves) -> Iterable[Note]:
    if found.left_out:
        counted = ", ".join(f"{count} {state}" for state, count in found.left_out)
        yield Note(f"Left out beside finished trainings of the same configuration: {counted}.")


def _height(curve: Curve) -> float:
    """For sorting from top to bottom; a curve without any number comes last."""
    return inf if curve.end.mean is None else -curve.end.mean


def _styles(curves: Sequence[Curve]) -> dict[Curve, dict[str, Any]]:
    """A colour a rule and dashes for what else differs, where there are enough of both; else one after the other."""
    from asapbench.report.figures.style import COLORS, DASHES, line_style

    rules = list(dict.fromkeys(curve.cell.rule for curve in curves))
    others = list(dict.fromkeys(curve.beside for curve in curves))
    if 1 < len(rules) <= len(COLORS) and len(others) <= len(DASHES):
        return {curve: line_style(rules.index(curve.cell.rule), dashes=others.index(curve.beside)) for curve in curves}
    return {curve: line_style(place) for place, curve in enumerate(curves)}


def _draw(found: LearningCurves) -> Figure:
    from matplotlib.ticker import MaxNLocator

    from asapbench.report.figures.style import (
        LEGEND_INCHES,
        LINES,
        LINES_PER_INCH,
        canvas,
        folded,
        inches_wide,
        legend_beside,
    )

    if len(found.curves) > LINES:
        raise AsapbenchError(
            f"--curves: {len(found.curves)} lines are too many for one picture, which takes {LINES}; choose with --only"
        )
    labels = {curve: folded(_name(curve, found.usual), LEGEND_INCHES) for curve in found.curves}
    figure, axes = canvas(
        found.heading,
        f"{found.shared}. {found.described}" if found.shared else found.described,
        width=7.0 + max(map(inches_wide, labels.values())),
        height=max(4.5, 1.5 + sum(1 + label.count("\n") for label in labels.values()) / LINES_PER_INCH),
    )
    styles = _styles(found.curves)
    # The legend lists the lines from top to bottom, as they end at the right.
    for curve in sorted(found.curves, key=_height):
        style = styles[curve]
        epochs = range(1, len(curve.points) + 1)
        means = [nan if point.mean is None else point.mean for point in curve.points]
        spreads = [point.sd or 0.0 for point in curve.points]
        every = max(1, len(curve.points) // 10)
        axes.plot(epochs, means, label=labels[curve], markevery=every, markersize=5, **style)
        if any(spreads):
            lower = [mean - spread for mean, spread in zip(means, spreads, strict=True)]
            upper = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
            axes.fill_between(epochs, lower, upper, color=style["color"], alpha=0.15, linewidth=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{found.quantity.words} in {found.quantity.unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    legend_beside(axes)
    return figure
