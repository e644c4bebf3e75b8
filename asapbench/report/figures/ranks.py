"""`report --ranks`: the average rank of each rule over the rows of a suite, with Nemenyi's critical difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from asapbench.analysis.comparison import LEVEL
from asapbench.analysis.ranks import average_ranks, critical_difference, friedman_p, not_distinguished, rows_needed
from asapbench.errors import AsapbenchError
from asapbench.report.configuration import counted
from asapbench.report.figures.looks import hexadecimal, looks
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet, canvas, literal
from asapbench.report.quantity import Metric
from asapbench.report.suite import Layout
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Strong, Table, numeric
from asapbench.suite.cell import name, title
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SOURCE = "Demsar 2006"
_MANY = 10
"""From so many rows on, Friedman's p is a good approximation (Demsar 2006, 3.2.2)."""


@dataclass(frozen=True)
class Ranks:
    """The ranks of `rules` over the `rows` in which each of them has a number, highest first; ties share a rank.

    `left_out` counts the other rows.
    """

    rules: tuple[Choice, ...]
    rows: tuple[tuple[float, ...], ...]
    left_out: int

    @cached_property
    def of_rules(self) -> dict[Choice, float]:
        """The average rank of each rule, the best first."""
        found = dict(zip(self.rules, average_ranks(self.rows), strict=True))
        return dict(sorted(found.items(), key=lambda item: item[1]))

    @cached_property
    def p(self) -> float:
        """The p of Friedman's test."""
        return friedman_p(self.rows)

    @cached_property
    def difference(self) -> float:
        """The critical difference."""
        return critical_difference(len(self.rules), len(self.rows))

    @property
    def runs(self) -> list[tuple[int, int]]:
        """The first and last place of rules that are not shown to differ, best first; all of them if Friedman's p is
        not significant.
        """
        everything = [(0, len(self.rules) - 1)]
        return everything if self.p > LEVEL else not_distinguished(list(self.of_rules.values()), self.difference)


def ranks_of(layout: Layout) -> Ranks:
    """The ranks over the rows that an order is over. Raises AsapbenchError where they are too few, with the number."""
    grid = layout.grid
    grid.require_one_value("--ranks")
    found = layout.found
    measured = [{rule: found[c.group].summary for rule, c in row.items() if c.group in found} for row in grid.compared]
    rules = tuple(rule for rule in grid.rules if any(row[rule].ended for row in measured if rule in row))
    means = [{rule: s.mean for rule, s in row.items() if s.mean is not None and not s.diverged} for row in measured]
    complete = [tuple(row[rule] for rule in rules) for row in means if len(row) == len(rules)]
    if len(rules) < 3:
        raise AsapbenchError(
            f"--ranks: {counted(len(rules), 'rule')} measured, and ranks need 3 or more; `asapbench compare` takes two"
        )
    if len(complete) < (needed := rows_needed(len(rules))):
        raise AsapbenchError(
            f"--ranks: {counted(len(complete), 'row')} in which all {len(rules)} rules have a number, none diverged; "
            f"{needed} or more are needed: with fewer, not even the best and the worst rule of every row are shown to "
            "differ. Train more models or data sets, or leave out rules that have few rows"
        )
    return Ranks(rules, tuple(complete), len(grid.compared) - len(complete))


def ranks_figure(layout: Layout, *, heading: str, metric: Metric, notes: Sequence[Note] = ()) -> Illustration:
    """The ranks as a table, and the critical-difference diagram as the picture. Raises AsapbenchError as `ranks_of`."""
    found = ranks_of(layout)
    many = len(found.rows)
    caption = (
        f"Average rank by test accuracy {metric.described} over {many} rows, each a model on a data set (1: the best). "
        f"Friedman's test: p = {found.p:.3g}. Nemenyi's critical difference at {100 * LEVEL:g} %: "
        f"{found.difference:.2f}; rules whose average ranks are closer are not shown to differ ({_SOURCE})."
    )
    return Illustration(
        _table(found, heading=heading, caption=caption, notes=(*layout.not_compared(), *notes)),
        lambda sheet: _draw(found, heading, caption, sheet),
    )


def _table(found: Ranks, *, heading: str, caption: str, notes: Sequence[Note]) -> Table:
    ranks = list(found.of_rules.items())
    best_run = max((last for first, last in found.runs if first == 0), default=0) if found.p <= LEVEL else -1
    rows = [
        Row((Field(title("rule", rule)), numeric("{:.2f}", rank, emphasis="strong" if place <= best_run else "plain")))
        for place, (rule, rank) in enumerate(ranks)
    ]
    remarks = []
    if found.p > LEVEL:
        remarks.append(Note("Friedman's test does not show that the rules differ: nothing is marked as best."))
    if len(found.rows) < _MANY:
        remarks.append(Note(f"Friedman's p is an approximation, and a rough one below {_MANY} rows."))
    if found.left_out:
        remarks.append(Note(f"{counted(found.left_out, 'row')} left out in which a rule has no number or diverged."))
    return Table(
        title=heading,
        caption=caption,
        columns=(Column("Rule", "left"), Column("average rank")),
        groups=(Group("", tuple(rows)),),
        notes=(*remarks, *notes),
        numbers=tuple(
            Number(
                dataset="",
                model="",
                rule=name("rule", rule),
                measured=rank,
                n=len(found.rows),
                metric="average rank",
                unit="rank",
            )
            for rule, rank in ranks
        ),
        strong=Strong("the best and all that are not shown to differ from it.") if best_run >= 0 else None,
    )


def _draw(found: Ranks, heading: str, described: str, sheet: Sheet) -> Figure:
    count = len(found.rules)
    height = 1.9 + 0.28 * -(-count // 2) + 0.12 * len(found.runs)
    figure, axes = canvas(heading, described, sheet=sheet, width=8.0, height=height)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.yaxis.set_visible(False)
    axes.xaxis.tick_top()
    axes.set_xlim(1, count)
    axes.set_xticks(range(1, count + 1))
    depth = _draw_rules(axes, found)
    axes.set_ylim(-depth, 1.1)
    axes.spines["top"].set_position(("data", 0))
    axes.tick_params(axis="x", pad=1)
    axes.plot([1, 1 + found.difference], [0.85, 0.85], color="black", linewidth=1.5, marker="|", clip_on=False)
    axes.text(1 + found.difference / 2, 0.95, f"critical difference {found.difference:.2f}", ha="center", va="bottom")
    return figure


def _draw_rules(axes: Axes, found: Ranks) -> float:
    """Each rule at its rank, labelled on the nearer side, and a bar over each run; returns how far down they reach."""
    runs = 0.0 if not found.runs else 0.25 * (len(found.runs) + 1)
    ranks = list(found.of_rules.items())
    count, half = len(ranks), (len(ranks) + 1) // 2
    for (rule, rank), look, place in zip(ranks, looks((rule, "") for rule, _ in ranks), range(count), strict=True):
        is_left = place < half
        depth = runs + 0.5 * (1 + (place if is_left else count - 1 - place))
        edge, side = (1.0, "right") if is_left else (float(count), "left")
        color = hexadecimal(look)
        axes.plot([rank, rank, edge], [0, -depth, -depth], color=color, linewidth=1.2, clip_on=False)
        label = literal(f" {title('rule', rule)}  {rank:.2f} ")
        axes.text(edge, -depth, label, ha=side, va="center", color=color)
    values = list(found.of_rules.values())
    for level, (first, last) in enumerate(found.runs, start=1):
        ends = [values[first] - 0.03, values[last] + 0.03]
        axes.plot(ends, [-0.25 * level] * 2, color="black", linewidth=3.5, solid_capstyle="round", clip_on=False)
    return runs + 0.5 * (half + 1)
