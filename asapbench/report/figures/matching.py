"""Figure 9: test accuracy of ASAP on AlexNet under three ways of matching a shared activation's dimensions (D.2).

A bar has only cells of the shipped suite `dimension_matching`, with any seed. Cells that deviate from them have bars of
their own, on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asapbench.report.commands import notes_to_finish
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    configurations,
    deviations,
    left_out,
    mean_and_spread,
    measured_field,
    names,
    number,
    published_field,
)
from asapbench.report.figures.looks import hexadecimal, look
from asapbench.report.figures.picture import Illustration
from asapbench.report.figures.style import Sheet, canvas, folded, heighten, inches_wide, legend, line_height
from asapbench.report.published import SOURCE, Reference, printed_table
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Summary, spread_and_count
from asapbench.report.table import Column, Field, Footnotes, Group, Row, Table, bracketed
from asapbench.store import Outcome
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell, title
from asapbench.suite.load import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUITE = "dimension_matching"

TITLES = {
    "max": "repeat channels, max-pool",
    "average": "repeat channels, average-pool",
    "random": "random fixed 1x1 convolution",
}
"""By the rule's option `matching`, in the order of the appendix."""

_NARROW_BAR = 0.7
"""Inches: texts of a narrower bar do not stand upright."""

_ROOM = 20.0
"""Percent from which a bar is high enough for the text in it."""

_TITLE = "Figure 9. Matching the dimensions of shared activations"


@dataclass(frozen=True)
class Bar:
    """One way of matching. `published` is Table 1's number, for the cell that is also in that table.

    `what` is the difference of a deviating configuration from the suite's cell.
    """

    cell: Cell
    found: Configuration | None
    published: float | None = None
    what: str = ""

    @property
    def matching(self) -> str:
        """The rule's option."""
        return self.cell.rule.text("matching")

    @property
    def summary(self) -> Summary:
        """In percent, over seeds."""
        return self.found.summary if self.found else Summary()


def dimension_matching(
    results: Iterable[Outcome], *, metric: Metric = Metric.BEST, allow_deviations: bool = False
) -> Illustration:
    """The figure from `results`; for cells without a result it has the command that trains them.

    `allow_deviations` adds cells that differ from the suite's in more than the seed.
    """
    found, cells = configurations(results, metric), load(SUITE).cells
    printed = {one.reference.cell.group: one.value for one in printed_table(1).numbers if one.reference}
    exact = [Bar(cell, found.get(cell.group), printed.get(cell.group)) for cell in cells]
    deviating = sorted(deviations(found, cells), key=lambda other: cells.index(other.reference))
    others = [Bar(other.configuration.cell, other.configuration, what=other.what) for other in deviating]
    bars = [*exact, *(others if allow_deviations else [])]
    spread = spread_and_count([bar.summary for bar in bars], others="beside it")
    measured = f"Test accuracy in percent {metric.described}; {spread}."
    setting = (
        f"{title('dataset', cells[0].dataset)}, {title('model', cells[0].model)}, {RULES[cells[0].rule.name].title}"
    )
    command = "asapbench report --figure 9 --allow-deviations"
    notes = (
        *notes_to_finish([Reference(SUITE, cell) for cell in cells], found, metric=metric, report="--figure 9"),
        *left_out([] if allow_deviations else deviating, of="figure", command=command),
    )
    footnotes = Footnotes()
    rows = tuple(_row(bar, footnotes) for bar in bars)
    table = Table(
        title=_TITLE,
        caption=f"{measured} The numbers of the printed figure are not known; published is Table 1's ({SOURCE}).",
        columns=(Column("Matching", "left"), Column("Measured"), Column("n"), Column("Published")),
        groups=(Group(setting, rows),),
        notes=(*footnotes.notes(), *notes),
        numbers=tuple(
            number(bar.summary, names=names(bar.cell), metric=metric, published=bar.published, variant=bar.what)
            for bar in bars
        ),
    )
    return Illustration(table, lambda sheet: _draw(bars, f"{setting} ({SOURCE}, D.2). {measured}", sheet))


def _row(bar: Bar, footnotes: Footnotes) -> Row:
    marks = (footnotes.mark(f"differs from this figure's cell: {bar.what}"),) if bar.what else ()
    return Row(
        (
            Field(TITLES[bar.matching], marks),
            measured_field(bar.summary, footnotes),
            Field(str(bar.summary.n), emphasis="faint"),
            Field(MISSING, emphasis="faint") if bar.published is None else published_field(bar.published),
        )
    )


def _draw(bars: Sequence[Bar], described: str, sheet: Sheet) -> Figure:
    footnotes = Footnotes()
    marks = [bracketed([footnotes.mark(bar.what)]) if bar.what else "" for bar in bars]
    differences = "".join(f" {bracketed(note.mark or '')} differs: {note.text}." for note in footnotes.notes())
    figure, axes = canvas(_TITLE, described + differences, sheet=sheet)
    room = 0.75 * figure.get_figwidth() / len(bars)
    for x, bar in enumerate(bars):
        _draw_bar(axes, x, bar, room=room)
    labels = [f"{TITLES[bar.matching]} {mark}".strip() for bar, mark in zip(bars, marks, strict=True)]
    slanted: dict[str, Any] = {"rotation": 90} if room < _NARROW_BAR else {}
    labels = [folded(label, max(room, _NARROW_BAR)) for label in labels]
    axes.set_xticks(range(len(bars)), labels, **slanted)
    heighten(figure, max(label.count("\n") for label in labels) * line_height())
    axes.set_xlim(-0.5, len(bars) - 0.5)
    axes.set_ylim(0, 100)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("test accuracy in percent")
    handles, named = axes.get_legend_handles_labels()
    legend([axes], handles[:1], labels=named[:1])
    return figure


def _draw_bar(axes: Axes, x: int, bar: Bar, *, room: float) -> None:
    """The bar with its mean in it, or the reason why there is none, and the published number as a dashed line.

    Texts are at most `room` inches wide.
    """
    mean = bar.summary.mean
    if mean is None:
        unfinished = bar.found is not None and bool(bar.found.unfinished)
        missing = "started, not finished" if unfinished else "not measured"
        why = "diverged" if bar.summary.ended else missing
        axes.text(x, 1, folded(why, room), ha="center", va="bottom", color="#777777")
    else:
        color = hexadecimal(look(RULES[bar.cell.rule.name].choose()))
        axes.bar(x, mean, width=0.6, color=color, alpha=0.6 if bar.what else 1.0, yerr=bar.summary.sd, capsize=6)
        shown = f"{mean_and_spread(bar.summary)}\nn = {bar.summary.n}"
        rotation = 90 if room < _NARROW_BAR else 0
        if not rotation and inches_wide(shown) > 0.6 * room:
            shown = shown.replace(" ± ", "\n± ")
        inside = mean > (3 * _ROOM if rotation else _ROOM)
        y, color, va = (mean / 2, "white", "center") if inside else (mean + 2, "black", "bottom")
        axes.text(x, y, shown, ha="center", va=va, color=color, fontweight="bold", rotation=rotation)
    if bar.published is not None:
        axes.hlines(bar.published, x - 0.38, x + 0.38, color="black", linestyle="--", label="published in Table 1")
        axes.text(x + 0.38, bar.published, f"{bar.published:.2f}", ha="right", va="bottom")
