"""Figure 9: test accuracy of ASAP on AlexNet under three ways of matching a shared activation's dimensions (D.2).

The cells are those of the shipped suite `dimension_matching`, whatever the seed; nothing else enters a bar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.report.commands import commands_to_fill
from asapbench.report.configuration import MISSING, Configuration, configurations, measured_field, names, number
from asapbench.report.figures.picture import Illustration
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE
from asapbench.report.references import Reference, lines
from asapbench.report.statistics import Summary, spread_and_count, summarize
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Row, Table
from asapbench.store import Result
from asapbench.suite.cell import Cell, title
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

_TITLE = "Figure 9. Matching the dimensions of shared activations"


@dataclass(frozen=True)
class Bar:
    """One way of matching. `published` is Table 1's number, for the cell that stands there too.

    `unfinished`: how many of its trainings have begun and not finished.
    """

    cell: Cell
    summary: Summary
    published: float | None
    unfinished: int = 0

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


def figure9(url: str, metric: Metric | None) -> Illustration:
    """The figure from the database at `url`; `metric` is the best test epoch if left out, as in the paper's tables."""
    from asapbench.store import Store

    with Store.read_only(url) as store:
        return dimension_matching(store.results(), metric=metric or Metric.BEST)


def dimension_matching(results: Iterable[Result], *, metric: Metric = Metric.BEST) -> Illustration:
    """The figure from `results`; cells without one are missing, with the command that trains them."""
    found = configurations(results, metric)
    printed = {one.reference.cell.group: one.value for line in lines(1) for one in line.numbers if one.reference}
    bars = tuple(_bar(cell, found.get(cell.group), printed.get(cell.group)) for cell in load(SUITE).cells)
    numbers = DimensionMatching(metric, bars)
    return Illustration(_table(numbers), lambda: _draw(numbers))


def _bar(cell: Cell, found: Configuration | None, published: float | None) -> Bar:
    if found is None:
        return Bar(cell, summarize(()), published)
    return Bar(cell, found.summary, published, len(found.unfinished))


def _table(found: DimensionMatching) -> Table:
    footnotes = Footnotes()
    rows = tuple(_row(bar, footnotes) for bar in found.bars)
    return Table(
        title=_TITLE,
        caption=f"{found.measured} The numbers of the printed figure are not known; published is Table 1's ({SOURCE}).",
        columns=(Column("Matching", "left"), Column("Measured"), Column("n"), Column("Published")),
        groups=(Group(found.setting, rows),),
        notes=(*footnotes.notes(), *_missing(found)),
        numbers=tuple(
            number(bar.summary, names=names(bar.cell), metric=found.metric, published=bar.published)
            for bar in found.bars
        ),
        metric=str(found.metric),
        unit="percent",
    )


def _row(bar: Bar, footnotes: Footnotes) -> Row:
    printed = MISSING if bar.published is None else f"{bar.published:.2f}"
    count = Field(str(bar.summary.n), emphasis="faint")
    return Row((Field(bar.title), measured_field(bar.summary, footnotes), count, Field(printed, emphasis="faint")))


def _missing(found: DimensionMatching) -> Iterable[Note]:
    if unfinished := sum(bar.unfinished for bar in found.bars):
        trainings = "1 training" if unfinished == 1 else f"{unfinished} trainings"
        yield Note(f"{trainings} begun and not finished. To go on:", (f"asapbench resume {SUITE}",))
    missing = [Reference(SUITE, bar.cell) for bar in found.bars if not bar.summary.of and not bar.unfinished]
    if missing:
        yield Note(f'"{MISSING}": not measured yet. To fill:', tuple(commands_to_fill(missing)))


def _draw(found: DimensionMatching) -> Figure:
    from asapbench.report.figures.style import COLORS, canvas

    figure, axes = canvas(_TITLE, f"{found.setting} ({SOURCE}, D.2). {found.measured}")
    for x, bar in enumerate(found.bars):
        mean, spread = bar.summary.mean, bar.summary.sd
        if mean is None:
            begun = "begun, not finished" if bar.unfinished else "not measured"
            axes.text(x, 1, "diverged" if bar.summary.of else begun, ha="center", va="bottom", color="#777777")
        else:
            axes.bar(x, mean, width=0.6, color=COLORS[x], yerr=spread, capsize=6)
            shown = f"{mean:.2f}" + ("" if spread is None else f" ± {spread:.2f}") + f"\nn = {bar.summary.n}"
            axes.text(x, mean / 2, shown, ha="center", va="center", color="white", fontweight="bold")
        if bar.published is not None:
            axes.hlines(bar.published, x - 0.38, x + 0.38, color="black", linestyle="--", label="published in Table 1")
            axes.text(x + 0.4, bar.published, f"{bar.published:.2f}", ha="left", va="center")
    axes.set_xticks(range(len(found.bars)), [bar.title for bar in found.bars])
    axes.set_xlim(-0.5, len(found.bars) - 0.5)
    axes.set_ylim(0, 100)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("test accuracy in percent")
    axes.legend(loc="upper right")
    return figure
