"""Learning curves: a quantity by epoch, one line for each configuration, mean and spread over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from asapbench.metrics import EpochMetrics
from asapbench.report.configuration import measured_field
from asapbench.report.figures import style
from asapbench.report.figures.by_epoch import Averaged, ByEpoch, Line, Recorded, by_epoch, draw_line, label_epochs
from asapbench.report.figures.looks import looks, matplotlib_line
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet
from asapbench.report.quantity import Quantity
from asapbench.report.statistics import Spread, Summary
from asapbench.report.table import Field, Footnotes, Note, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from asapbench.suite.entries import Look


def learning_curves(
    recorded: Iterable[Recorded[EpochMetrics]], *, quantity: Quantity, heading: str, spread: Spread = Spread.SD
) -> Illustration:
    """The curves of all configurations with a recorded epoch, in the order in which they first appear.

    Raises AsapbenchError where there is none.
    """
    missing = "--curves: none of these cells has an epoch yet: wait until one has, or train them"
    if quantity is Quantity.VALIDATION_ACCURACY:
        missing = f"--curves {quantity}: none of these cells has any: train with --set validation=N, or show another"
    found = by_epoch(
        [Recorded(one.result, [row for row in one.rows if quantity.of(row) is not None]) for one in recorded],
        lambda members: [curve(members, quantity)],
        heading=heading,
        metric=quantity.words,
        unit=quantity.unit,
        missing=missing,
        spread=spread,
    )
    described = f"{quantity.described}; {found.spread}."
    return Illustration(_table(found, described), lambda sheet: _draw(found, described, sheet))


def curve(members: Sequence[Recorded[EpochMetrics]], quantity: Quantity) -> Line:
    """The mean and spread over `members` at each epoch that all of them have; no number where one is not finite."""
    by_seed = [[value for row in one.rows if (value := quantity.of(row)) is not None] for one in members]
    samples = list(zip(*by_seed, strict=False))
    points = tuple(Summary(values if all(map(isfinite, values)) else ()) for values in samples)
    return Line("", tuple(range(1, len(points) + 1)), points)


def _table(found: ByEpoch, described: str) -> Table:
    counts = ", ".join(f"{count} {state}" for state, count in found.left_out.items())
    text = f"Not shown, because other trainings of the same configuration are finished: {counts}."
    named = zip(found.names_in_panel, found.configurations, strict=True)
    return found.table(
        f"{_caption(found, described)} The column titles are epochs",
        [(one.panel or found.shared or "All", name, one.lines[0]) for name, one in named],
        stub="Rule",
        field=lambda point: Field("") if point is None else measured_field(point, Footnotes(), found.band),
        notes=[Note(text)] if counts else [],
    )


def _caption(found: ByEpoch, described: str) -> str:
    return f"{found.shared}. {described}" if found.shared else described


def _draw(found: ByEpoch, described: str, sheet: Sheet) -> Figure:
    drawn: dict[str, list[tuple[str, Look, Averaged]]] = {}
    every = zip(found.names_in_panel, looks((one.cell.rule, one.beside) for one in found.configurations), strict=True)
    for (name, look), one in zip(every, found.configurations, strict=True):
        drawn.setdefault(one.panel, []).append((name, look, one))
    most = max(map(len, drawn.values()))
    style.require_room("--curves", most, style.LINES, what="lines", fix="choose with --only")
    caption = _caption(found, described)
    figure, grid = style.networks(found.heading, caption, len(drawn), sheet=sheet, option="--curves")
    lines: dict[str, Any] = {}
    for axes, (panel, members) in zip(grid, drawn.items(), strict=True):
        # The legend lists the lines from top to bottom, in the order of their last values in the first panel.
        for name, look, one in sorted(members, key=lambda member: _height(member[2])):
            how = matplotlib_line(look)
            line = draw_line(axes, one.lines[0], label=style.literal(name), style=how, band=found.band)
            lines.setdefault(name, line)
        style.title_panel(axes, panel)
        label_epochs(axes)
    style.outer_labels(grid, f"{found.metric} in {found.unit}")
    style.legend(grid, list(lines.values()), labels=list(lines))
    return figure


def _height(configuration: Averaged) -> float:
    """The sort key from top to bottom; a line without any number is last."""
    mean = configuration.lines[0].end.mean
    return inf if mean is None else -mean
