"""Figure 9: test accuracy of ASAP on AlexNet under three ways of matching a shared activation's dimensions (D.2).

The cells are those of the shipped suite `dimension_matching`, whatever the seed; nothing else enters a bar. Cells that
deviate from them get bars of their own, where they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from asapbench.report.commands import commands_to_fill
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    configurations,
    entries,
    left_out,
    measured_field,
    names,
    number,
)
from asapbench.report.figures.picture import Illustration
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE
from asapbench.report.recorded import recorded_results
from asapbench.report.references import Reference, lines
from asapbench.report.statistics import Summary, spread_and_count, summarize
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Row, Table, bracketed
from asapbench.store import Result
from asapbench.suite.cell import Cell, differences, title
from asapbench.suite.load import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUITE = "dimension_matching"

TITLES = {
    "max": "repeat channels, max-pool",
    "average": "repeat channels, average-pool",
    "random": "random fixed 1x1 convolution",
}
"""By the rule's option `matching`, in the order of the appendix."""

_ROOM = 20.0
"""Percent from which on a bar is high enough for the text in it."""

_TITLE = "Figure 9. Matching the dimensions of shared activations"


@dataclass(frozen=True)
class Bar:
    """One way of matching. `published` is Table 1's number, for the cell that stands there too.

    `unfinished` counts its trainings that have started and not finished. `what` differs from the suite's cell.
    """

    cell: Cell
    summary: Summary
    published: float | None
    unfinished: int = 0
    what: str = ""

    @property
    def title(self) -> str:
        """How the figure names it."""
        return TITLES[self.cell.rule.text("matching")]


@dataclass(frozen=True)
class DimensionMatching:
    """The numbers of the figure."""

    metric: Metric
    bars: tuple[Bar, ...]

    @property
    def setting(self) -> str:
        """What the bars have in common."""
        cell = self.bars[0].cell
        return f"{title('dataset', cell.dataset)}, {title('model', cell.model)}, ASAP"

    @property
    def measured(self) -> str:
        """How and over how many seeds."""
        spread = spread_and_count([bar.summary for bar in self.bars], others="beside it")
        return f"Test accuracy in percent {self.metric.described}; {spread}."


def figure9(url: str, metric: Metric | None, *, allow_deviations: bool = False) -> Illustration:
    """The figure from the database at `url`; `metric` is the best test epoch if left out, as in the paper's tables."""
    return dimension_matching(recorded_results(url), metric=metric or Metric.BEST, allow_deviations=allow_deviations)


def dimension_matching(
    results: Iterable[Result], *, metric: Metric = Metric.BEST, allow_deviations: bool = False
) -> Illustration:
    """The figure from `results`; cells without one are missing, with the command that trains them.

    `allow_deviations`: also those that differ from the suite's in more than the seed.
    """
    found = configurations(results, metric)
    printed = {one.reference.cell.group: one.value for line in lines(1) for one in line.numbers if one.reference}
    cells = load(SUITE).cells
    bars = [_bar(cell, found.get(cell.group), printed.get(cell.group)) for cell in cells]
    deviating = list(_deviating(found, cells))
    numbers = DimensionMatching(metric, (*bars, *(deviating if allow_deviations else [])))
    command = "asapbench report --figure 9 --allow-deviations"
    notes = left_out([] if allow_deviations else [bar.what for bar in deviating], of="figure", command=command)
    return Illustration(_table(numbers, list(notes)), lambda: _draw(numbers))


def _bar(cell: Cell, found: Configuration | None, published: float | None) -> Bar:
    if found is None:
        return Bar(cell, summarize(()), published)
    return Bar(cell, found.summary, published, len(found.unfinished))


def _deviating(found: Mapping[str, Configuration], cells: Sequence[Cell]) -> Iterator[Bar]:
    """Finished configurations of the suite's data set, model, rule and way of matching that are none of its cells."""
    exact = {cell.group for cell in cells}
    for reference in cells:
        for group, configuration in found.items():
            if group not in exact and configuration.summary.of and _key(configuration.cell) == _key(reference):
                what = ", ".join(differences(configuration.cell, reference))
                yield Bar(configuration.cell, configuration.summary, None, what=what)


def _key(cell: Cell) -> tuple[object, ...]:
    return *entries(cell), dict(cell.rule.options).get("matching")


def _table(found: DimensionMatching, notes: Sequence[Note]) -> Table:
    footnotes = Footnotes()
    rows = tuple(_row(bar, footnotes) for bar in found.bars)
    return Table(
        title=_TITLE,
        caption=f"{found.measured} The numbers of the printed figure are not known; published is Table 1's ({SOURCE}).",
        columns=(Column("Matching", "left"), Column("Measured"), Column("n"), Column("Published")),
        groups=(Group(found.setting, rows),),
        notes=(*footnotes.notes(), *_missing(found), *notes),
        numbers=tuple(
            number(bar.summary, names=names(bar.cell), metric=found.metric, published=bar.published, variant=bar.what)
            for bar in found.bars
        ),
        metric=str(found.metric),
        unit="percent",
    )


def _row(bar: Bar, footnotes: Footnotes) -> Row:
    printed = MISSING if bar.published is None else f"{bar.published:.2f}"
    count = Field(str(bar.summary.n), emphasis="faint")
    marks = (footnotes.mark(f"differs from this figure's cell: {bar.what}"),) if bar.what else ()
    return Row(
        (Field(bar.title, marks), measured_field(bar.summary, footnotes), count, Field(printed, emphasis="faint"))
    )


def _missing(found: DimensionMatching) -> Iterable[Note]:
    if unfinished := sum(bar.unfinished for bar in found.bars):
        trainings = "1 training" if unfinished == 1 else f"{unfinished} trainings"
        yield Note(f"{trainings} started and not finished. To resume:", (f"asapbench resume {SUITE}",))
    missing = [Reference(SUITE, bar.cell) for bar in found.bars if not bar.summary.of and not bar.unfinished]
    if missing:
        yield Note(f'"{MISSING}": not measured yet. To fill:', tuple(commands_to_fill(missing)))


def _draw(found: DimensionMatching) -> Figure:
    from asapbench.report.figures.style import COLORS, canvas

    footnotes = Footnotes()
    marks = [bracketed([footnotes.mark(bar.what)]) if bar.what else "" for bar in found.bars]
    apart = "".join(f" {bracketed(note.mark or '')} differs: {note.text}." for note in footnotes.notes())
    figure, axes = canvas(_TITLE, f"{found.setting} ({SOURCE}, D.2). {found.measured}{apart}")
    for x, bar in enumerate(found.bars):
        mean, spread = bar.summary.mean, bar.summary.sd
        if mean is None:
            state = "started, not finished" if bar.unfinished else "not measured"
            why = "diverged" if bar.summary.of else state
            axes.text(x, 1, fill(why, 10) if apart else why, ha="center", va="bottom", color="#777777")
        else:
            color = COLORS[list(TITLES).index(bar.cell.rule.text("matching"))]
            axes.bar(x, mean, width=0.6, color=color, alpha=0.6 if bar.what else 1.0, yerr=spread, capsize=6)
            shown = f"{mean:.2f}" + ("" if spread is None else f" ± {spread:.2f}") + f"\nn = {bar.summary.n}"
            inside = mean > _ROOM
            y, color, va = (mean / 2, "white", "center") if inside else (mean + 2, "black", "bottom")
            axes.text(x, y, shown, ha="center", va=va, color=color, fontweight="bold")
        if bar.published is not None:
            axes.hlines(bar.published, x - 0.38, x + 0.38, color="black", linestyle="--", label="published in Table 1")
            axes.text(x + 0.4, bar.published, f"{bar.published:.2f}", ha="left", va="center")
    labels = [f"{bar.title} {mark}".strip() for bar, mark in zip(found.bars, marks, strict=True)]
    if apart:  # more bars than there is room for whole titles
        labels = [fill(label, 13) for label in labels]
    axes.set_xticks(range(len(found.bars)), labels, fontsize="small" if apart else None)
    axes.set_xlim(-0.5, len(found.bars) - 0.5)
    axes.set_ylim(0, 100)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("test accuracy in percent")
    axes.legend(loc="upper right")
    return figure
