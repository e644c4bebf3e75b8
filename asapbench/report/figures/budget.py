"""`report --tuned SUITE --budget`: the best validation accuracy by the number of trials: was the budget enough?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asapbench.analysis.trials import INTERVAL, BestSoFar, best_by_trials, last_half
from asapbench.report.configuration import MISSING, counted, names
from asapbench.report.figures import style
from asapbench.report.figures.looks import looks, matplotlib_line
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet
from asapbench.report.table import Column, Field, Note, Number, Row, Table, grouped, numeric
from asapbench.report.tuned import Tuned, labels, place_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS = 10
"""Numbers of trials on the axis, at most."""


def budget_figure(tuned: Sequence[Tuned], *, heading: str, notes: Sequence[Note] = ()) -> Illustration:
    """A line for each study: the mean over all orders of its trials of the best validation accuracy so far.

    The band is where 90 % of the orders are. Trials that wait are left out; one that diverged, was ended early or
    discarded has accuracy 0, as it is never chosen.
    """
    curves = [best_by_trials([100 * t.reached for t in one.trials if t.end != "waiting"]) for one in tuned]
    low, high = (f"{100 * share:g}" for share in INTERVAL)
    caption = (
        "Best validation accuracy in percent of the first trials of a search, by their number: the mean over all "
        f"orders of the trials, and the {low} to {high} % quantiles over orders. All trials together have one "
        "best: the interval shrinks to a point there, whatever more trials would find."
    )
    if any(one.study.tuning.is_sequential for one in tuned):
        caption += " Later trials followed from the results of earlier ones: other orders are hypothetical."
    return Illustration(
        _table(tuned, curves, heading=f"{heading}: budget of the search", caption=caption, notes=notes),
        lambda sheet: _draw(tuned, curves, f"{heading}: budget of the search", caption, sheet),
    )


def _table(
    tuned: Sequence[Tuned],
    curves: Sequence[Sequence[BestSoFar]],
    *,
    heading: str,
    caption: str,
    notes: Sequence[Note],
) -> Table:
    longest = max(map(len, curves), default=0)
    rows = []
    for label, one, curve in zip(_names(tuned), tuned, curves, strict=True):
        points = [numeric("{:.2f} ({:.2f} to {:.2f})", point.mean, point.low, point.high) for point in curve]
        blank = [Field("")] * (longest - len(points))
        gain = last_half(curve)
        last = Field(MISSING, emphasis="faint") if gain is None else numeric("{:+.2f}", gain)
        rows.append((place_of(one.cell), [Row((Field(label), *points, *blank, last))]))
    numbers = [_number(one, point, len(curve)) for one, curve in zip(tuned, curves, strict=True) for point in curve]
    return Table(
        title=heading,
        caption=(
            f"{caption} The column titles are numbers of trials; last half: what the mean gains from half of the "
            "trials to all."
        ),
        columns=(Column("Rule", "left"), *(Column(f"{k}") for k in range(1, longest + 1)), Column("last half")),
        groups=grouped(rows),
        notes=tuple(notes),
        numbers=tuple(numbers),
    )


def _number(one: Tuned, point: BestSoFar, trials: int) -> Number:
    dataset, model, rule = names(one.cell)
    return Number(
        dataset=dataset,
        model=model,
        rule=rule,
        variant=f"study {one.study.number}, {counted(point.trials, 'trial')}",
        measured=point.mean,
        n=trials,
        metric="best validation accuracy",
        unit="percent",
    )


def _names(tuned: Sequence[Tuned]) -> list[str]:
    """The labels, with the study's number where there are several."""
    several = len({one.study.number for one in tuned}) > 1
    return [
        f"{label}, study {one.study.number}" if several else label
        for label, one in zip(labels(tuned), tuned, strict=True)
    ]


def _draw(
    tuned: Sequence[Tuned], curves: Sequence[Sequence[BestSoFar]], heading: str, caption: str, sheet: Sheet
) -> Figure:
    found = _names(tuned)
    every = looks((one.cell.rule, name) for one, name in zip(tuned, found, strict=True))
    panels = list(dict.fromkeys(place_of(one.cell) for one in tuned))
    figure, grid = style.networks(heading, caption, len(panels), sheet=sheet, option="--budget", low=False)
    lines: dict[str, Any] = {}
    for one, curve, name, look in zip(tuned, curves, found, every, strict=True):
        axes, how = grid[panels.index(place_of(one.cell))], matplotlib_line(look)
        x = [point.trials for point in curve]
        [line] = axes.plot(x, [point.mean for point in curve], label=style.literal(name), **how)
        axes.fill_between(
            x, [p.low for p in curve], [p.high for p in curve], color=how["color"], alpha=0.12, linewidth=0
        )
        lines.setdefault(name, line)
    for axes, panel in zip(grid, panels, strict=True):
        style.title_panel(axes, panel)
        axes.set_xlabel("trials")
        axes.set_xticks(range(1, max(map(len, curves)) + 1, -(-max(map(len, curves)) // _TICKS)))
    style.outer_labels(grid, "best validation accuracy in percent")
    style.legend(grid, list(lines.values()), labels=list(lines))
    return figure
