"""`report --time-to ... --profile`: performance profiles of the rules over the rows of a suite, and their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from asapbench.analysis.profiles import SCORED, profile, ratios, score, steps
from asapbench.errors import AsapbenchError
from asapbench.report.configuration import counted, names
from asapbench.report.figures.looks import looks, matplotlib_line
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import LINES, Sheet, canvas, legend, require_room
from asapbench.report.table import Column, Field, Group, Note, Number, Row, Table, numeric
from asapbench.report.time_to import Timed
from asapbench.suite.cell import Cell, name, title
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SOURCE = "Dolan and Moré 2002"
_SCORE_SOURCE = "AlgoPerf, Dahl et al. 2023"
_RULES, _ROWS = 2, 3
"""The fewest rules and rows of a profile."""
_SHOWN = (1.0, 2.0, SCORED, math.inf)
"""The ratios at which the table has the profiles."""
_TICKS = 8
"""The most powers of a base that label an axis."""


@dataclass(frozen=True)
class Profiles:
    """The ratios of `rules` over `rows`, each a cell of every rule, in which all of them have a time.

    `left_out` counts the other rows, `apart` those of them whose times were measured on different hardware. `untimed`
    are rules that have a time in no row.
    """

    rules: tuple[Choice, ...]
    rows: tuple[tuple[Cell, ...], ...]
    ratios: tuple[tuple[float, ...], ...]
    left_out: int
    apart: int
    untimed: tuple[Choice, ...]

    @cached_property
    def of_rules(self) -> dict[Choice, tuple[float, ...]]:
        """The ratios of each rule over the rows: the highest score first, of equal ones the rule that reaches more."""
        found = dict(zip(self.rules, zip(*self.ratios, strict=True), strict=True))
        return dict(sorted(found.items(), key=lambda item: (-score(item[1]), -profile(item[1], math.inf))))

    @property
    def unsolved(self) -> int:
        """The rows in which no rule reaches the target."""
        return sum(all(map(math.isinf, row)) for row in self.ratios)


def profiles_of(found: Timed) -> Profiles:
    """The profiles over the rows that an order is over. Raises AsapbenchError where rows or rules are too few."""
    grid = found.layout.grid
    grid.require_one_value("--profile")
    times = [dict(zip(grid.rules, found.of(row), strict=True)) for row in grid.compared]
    known = [{rule: one.median for rule, one in row.items() if one and not one.left} for row in times]
    rules = tuple(rule for rule in grid.rules if any(row.get(rule) is not None for row in known))
    apart = [len(found.hardware_of(row)) > 1 for row in grid.compared]
    rows, compared = [], []
    for row, own, is_apart in zip(grid.compared, known, apart, strict=True):
        values = [time for rule in rules if (time := own.get(rule)) is not None]
        if not is_apart and len(values) == len(rules):
            rows.append(tuple(row[rule] for rule in rules))
            compared.append(ratios(values))
    if len(rules) < _RULES:
        raise AsapbenchError(f"--profile: {counted(len(rules), 'rule')} with a time, and a profile compares 2 or more")
    left_out = len(grid.compared) - len(rows)
    if len(rows) < _ROWS:
        different = f" ({sum(apart)} of {left_out} others on different hardware)" if any(apart) else ""
        raise AsapbenchError(
            f"--profile: {counted(len(rows), 'row')} in which all {len(rules)} rules have a time{different}, and a "
            "profile needs 3 or more: train more models or data sets, or choose rules that have more with --only"
        )
    untimed = tuple(rule for rule in grid.rules if rule not in (*rules, *grid.not_compared))
    return Profiles(rules, tuple(rows), tuple(compared), left_out, sum(apart), untimed)


def profile_figure(timed: Timed, *, heading: str, notes: Sequence[Note] = ()) -> Illustration:
    """The profiles at some ratios and the scores as a table, and the curves as the picture. Raises as `profiles_of`."""
    found = profiles_of(timed)
    heading = f"{heading}, performance profiles"
    until = f"until the validation accuracy first reaches {timed.described_target}"
    caption = (
        f"Share of {len(found.rows)} rows, each a model on a data set, in which a rule's {timed.to} {until} are at "
        f"most a multiple of the row's fastest rule's ({_SOURCE}). Score: the mean share over multiples from 1 to "
        f"{SCORED:g} ({_SCORE_SOURCE})."
    )
    return Illustration(
        _table(found, timed, heading=heading, caption=caption, notes=notes),
        lambda sheet: _draw(found, timed, heading, f"{caption} Grey line: {SCORED:g}.", sheet),
    )


def _table(found: Profiles, timed: Timed, *, heading: str, caption: str, notes: Sequence[Note]) -> Table:
    shown = [*(f"within {tau:g}x" for tau in _SHOWN[1:-1]), "reached"]
    return Table(
        name=f"profile-{timed.to}",
        title=heading,
        caption=caption,
        columns=(Column("Rule", "left"), *map(Column, ("score", "fastest", *shown))),
        groups=(Group("", tuple(_row(rule, own) for rule, own in found.of_rules.items())),),
        notes=(*_remarks(found, timed), *timed.layout.not_compared(), *notes),
        numbers=tuple(_numbers(found, timed)),
    )


def _row(rule: Choice, own: Sequence[float]) -> Row:
    values = (score(own), *(profile(own, tau) for tau in _SHOWN))
    return Row((Field(title("rule", rule)), *(numeric("{:.2f}", value) for value in values)))


def _remarks(found: Profiles, timed: Timed) -> list[Note]:
    remarks = []
    if found.unsolved:
        remarks.append(Note(f"{counted(found.unsolved, 'row')} in which no rule reached the target count for none."))
    if found.left_out:
        remarks.append(Note(f"{counted(found.left_out, 'row')} left out in which a rule has no complete time."))
    if found.apart:
        remarks.append(Note(f"{found.apart} of them for times on different hardware, which are not compared."))
    if found.untimed:
        listed = ", ".join(title("rule", rule) for rule in found.untimed)
        remarks.append(Note(f"No {timed.to} of {listed} in any row: left out."))
    return remarks


def _numbers(found: Profiles, timed: Timed) -> list[Number]:
    """The score of each rule, and its ratio in every row: the profile rises there. None: the target is not reached."""
    scores = [
        Number(
            dataset="",
            model="",
            rule=name("rule", rule),
            measured=score(own),
            n=len(own),
            metric=f"score by {timed.to}",
            unit="mean share of rows",
        )
        for rule, own in found.of_rules.items()
    ]
    for row, own in zip(found.rows, found.ratios, strict=True):
        for cell, ratio in zip(row, own, strict=True):
            dataset, model, rule = names(timed.layout.measured(cell))
            scores.append(
                Number(
                    dataset=dataset,
                    model=model,
                    rule=rule,
                    variant=timed.layout.variant(cell),
                    measured=ratio if math.isfinite(ratio) else None,
                    metric=f"performance ratio by {timed.to}",
                    unit="times the fastest rule",
                )
            )
    return scores


def _draw(found: Profiles, timed: Timed, heading: str, described: str, sheet: Sheet) -> Figure:
    require_room("--profile", len(found.rules), LINES, what="rules", fix="choose with --only")
    figure, axes = canvas(heading, described, sheet=sheet, width=8.0, height=4.5)
    finite = [ratio for row in found.ratios for ratio in row if math.isfinite(ratio)]
    end = 1.05 * max([SCORED, *finite])
    lines: dict[str, Any] = {}
    for (rule, own), look in zip(found.of_rules.items(), looks((rule, "") for rule in found.of_rules), strict=True):
        rises = steps(own)
        taus, heights = zip(*rises, (end, rises[-1][1]), strict=True)
        marked = [place for place, (_, height) in enumerate(rises) if height]
        (line,) = axes.step(taus, heights, where="post", markevery=marked, **matplotlib_line(look))
        lines[f"{title('rule', rule)}  {score(own):.2f}"] = line
    _axes(axes, end, timed)
    legend([axes], list(lines.values()), labels=list(lines))
    return figure


def _axes(axes: Axes, end: float, timed: Timed) -> None:
    base = next(base for base in (2, 4, 10, 100) if base**_TICKS >= end or base == 100)
    ticks = [base**power for power in range(_TICKS + 1) if base**power <= end]
    axes.set_xscale("log")
    axes.set_xlim(0.97, end)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(SCORED, color="#999999", linewidth=0.8, zorder=0)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel(f"multiple of the {timed.to} of the row's fastest rule")
    axes.set_ylabel("share of rows")
