"""The paper's tables: the learning rates of the shipped suites (3) and the test accuracies measured with them.

A measured line has only cells whose configuration equals a shipped suite's cell, with any seed. Cells of the same data
set, model and rule with other options have lines of their own, and only on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from asapbench.report.best import Best, across, best, strong, why_none
from asapbench.report.commands import notes_to_finish
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    Deviation,
    configurations,
    counted,
    counts_row,
    deviations,
    difference_field,
    faint,
    left_out,
    measured_field,
    number,
    published_field,
    some,
    summary_of,
)
from asapbench.report.published import (
    CITED,
    PROBABLE,
    SOURCE,
    WEIGHT_DECAY,
    Line,
    Printed,
    printed_table,
)
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Spread, Summary, spread_and_count, usual_count
from asapbench.report.table import (
    AND_DIFFERENCE,
    DIFFERENCE,
    PUBLISHED,
    Column,
    Field,
    Footnotes,
    Note,
    Number,
    Row,
    Table,
    grouped,
)
from asapbench.store import Outcome
from asapbench.suite.cell import plain, title

ACCURACIES = (1, 2, 4, 5)
"""The printed tables that hold test accuracies. Table 3 holds learning rates."""

_REMARKS: Mapping[int, tuple[str, ...]] = {
    2: (
        "The paper prints no learning rate for ASFP and ASFP+LC: ASAP's is assumed. How its local classifiers' loss "
        "joins the global one is not printed either: here the local losses alone train the blocks.",
    ),
    4: ("The paper does not name the network: its column at 5e-4 is ResNet-34's row of Table 1.",),
    5: (
        "[48] is probably pHSIC (Pogodin and Latham 2020), by evidence about the paper's programs (decision 0010): a "
        "difference may also mean that it is another work.",
        "The local baselines use Adam at 5e-3 (D.4); their weight decay is not printed: 0 is assumed. Nor are their "
        "units: [46] has a classifier behind each block, as the appendix words it, [47] a loss behind each layer.",
    ),
}
"""The notes of a table that do not depend on what was measured."""


def table3() -> Table:
    """Table 3. It needs no database: the suites hold the learning rates that runs use.

    >>> table3().columns[1].title
    'BP'
    """
    printed, footnotes = printed_table(3), Footnotes()
    groups = grouped((line.header, _rates_rows(line, footnotes)) for line in printed.lines)
    return Table(
        title=printed.title,
        name="table-3",
        caption=f"First line of each model: the shipped suite files; below it as published ({SOURCE}).",
        columns=(Column("Model", "left"), *map(Column, printed.columns)),
        groups=groups,
        notes=footnotes.notes(),
        numbers=tuple(
            number(_rate(one), names=one.key[:3], metric="initial learning rate", published=one.value, unit="1")
            for one in printed.numbers
        ),
    )


def _rates_rows(line: Line, footnotes: Footnotes) -> tuple[Row, Row]:
    ours, theirs = [], []
    for printed in line.numbers:
        rate = _rate(printed).mean
        marks = () if rate == printed.value else (footnotes.mark("differs from the published learning rate"),)
        ours.append(Field(MISSING if rate is None else scientific(rate), marks))
        theirs.append(Field(scientific(printed.value), emphasis="faint"))
    return Row((Field(line.stub), *ours)), Row((faint(PUBLISHED), *theirs))


def _rate(printed: Printed) -> Summary:
    """The learning rate of the suite's cell, if there is one."""
    return Summary(() if printed.reference is None else (printed.reference.cell.lr,))


def scientific(rate: float) -> str:
    """A learning rate as the paper prints it.

    >>> scientific(0.03), scientific(0.0001)
    ('3e-2', '1e-4')
    """
    return f"{Decimal(repr(rate)).normalize():e}".replace("e+", "e")


def accuracy_table(
    table: int,
    results: Iterable[Outcome],
    *,
    metric: Metric = Metric.BEST,
    allow_deviations: bool = False,
    spread: Spread = Spread.SD,
) -> Table:
    """Printed table `table`, one of `ACCURACIES`: test accuracy in percent, measured beside published.

    >>> accuracy_table(1, []).groups[0].rows[1].fields[1].text
    '99.59'
    """
    results = list(results)
    found, printed = configurations(results, metric), printed_table(table)
    measured = [found[one.cell.group] for one in printed.references if one.cell.group in found]
    deviating = deviations(found, [reference.cell for reference in printed.references])
    shown = deviating if allow_deviations else []
    summaries = [one.summary for one in (*measured, *(other.configuration for other in shown))]
    layout = _Layout(found, shown, Footnotes(), usual_count(summaries), spread)
    # Rules are the rows of Table 4, and the columns of the other tables.
    of: Literal["row", "column"] = "column" if table == WEIGHT_DECAY else "row"
    lines = [layout.summaries(line) for line in printed.lines]
    compared = list(map(best, lines if of == "row" else zip(*lines, strict=True)))
    marked = compared if of == "row" else across(compared, rows=len(lines))
    groups = grouped((line.header, layout.rows(line, one)) for line, one in zip(printed.lines, marked, strict=True))
    return Table(
        title=printed.title,
        name=f"table-{table}",
        caption=(
            f"Test accuracy in percent {metric.described}; {spread_and_count(summaries, spread=spread)}."
            f"{why_none(compared)} First line of each row: measured; below it as published ({SOURCE})"
            f"{AND_DIFFERENCE}."
        ),
        columns=(Column("Rule" if table == WEIGHT_DECAY else "Model", "left"), *map(Column, printed.columns)),
        groups=groups,
        notes=(
            *layout.footnotes.notes(),
            *_notes(table, found, metric, left=[] if allow_deviations else deviating),
            *_outdated(results),
            *([] if measured or deviating else _others(found.values())),
        ),
        numbers=tuple(one for line in printed.lines for one in layout.numbers(line, metric)),
        strong=strong(compared, of=of),
    )


@dataclass(frozen=True)
class _Layout:
    """For each printed row its lines: measured, n, published, difference, and then what deviates."""

    found: Mapping[str, Configuration]
    deviating: Sequence[Deviation]
    footnotes: Footnotes
    usual: int
    spread: Spread

    def summaries(self, line: Line) -> list[Summary | None]:
        """What is measured of each number of the line."""
        return [self._summary(printed) for printed in line.numbers]

    def rows(self, line: Line, best: Best) -> Iterator[Row]:
        """The lines of a printed row; `best` has what is marked in it."""
        summaries = self.summaries(line)
        measured = [measured_field(summary, self.footnotes, self.spread) for summary in summaries]
        yield Row((Field(line.stub), *best.shown(measured)))
        yield from counts_row(summaries, usual=self.usual)
        yield Row((faint(PUBLISHED), *(published_field(one.value) for one in line.numbers)))
        if any(summary and summary.n for summary in summaries):
            pairs = zip(summaries, line.numbers, strict=True)
            yield Row((faint(DIFFERENCE), *(difference_field(summary, one.value) for summary, one in pairs)))
        here = {(other.what, printed.key): other.configuration for printed, other in self._deviations(line)}
        for what in dict.fromkeys(what for what, _ in here):
            others = [here.get((what, printed.key)) for printed in line.numbers]
            mark = self.footnotes.mark(f"differs from this table's cell: {what}")
            stub = Field("deviating", (mark,), indent=1)
            yield Row(
                (stub, *(measured_field(c.summary, self.footnotes, self.spread) if c else Field("") for c in others))
            )
            yield from counts_row([c.summary if c else None for c in others], usual=self.usual)

    def numbers(self, line: Line, metric: Metric) -> Iterator[Number]:
        for printed in line.numbers:
            yield _number(self._summary(printed), printed, metric=metric)
        for printed, other in self._deviations(line):
            yield _number(other.configuration.summary, printed, metric=metric, what=other.what)

    def _summary(self, printed: Printed) -> Summary | None:
        return summary_of(printed.reference.cell if printed.reference else None, self.found)

    def _deviations(self, line: Line) -> list[tuple[Printed, Deviation]]:
        by_cell = {printed.reference.cell: printed for printed in line.numbers if printed.reference}
        return [(by_cell[other.reference], other) for other in self.deviating if other.reference in by_cell]


def _notes(
    table: int, found: Mapping[str, Configuration], metric: Metric, *, left: Sequence[Deviation]
) -> Iterator[Note]:
    yield from remarks(table, metric)
    yield from notes_to_finish(printed_table(table).references, found, metric=metric, report=f"--table {table}")
    yield from left_out(left, of="table", command=f"asapbench report --table {table} --allow-deviations")


def remarks(table: int, metric: Metric) -> Iterator[Note]:
    """The notes of a table that do not depend on what was measured, and that the published epoch may be another one."""
    yield from map(Note, _REMARKS.get(table, ()))
    if metric is not Metric.BEST:
        text = "The published numbers are assumed to be at the best test epoch; the measured ones are"
        yield Note(f"{text} {metric.described}.")


def _outdated(results: Iterable[Outcome]) -> Iterator[Note]:
    if outdated := sum(result.outdated for result in results):
        yield Note(f"{counted(outdated, 'result')} left out: measured with an earlier revision of the code.")


def _others(found: Iterable[Configuration]) -> Iterator[Note]:
    """Why a table shows nothing of a database that is not empty."""
    cells = [configuration.cell for configuration in found if configuration.summary.ended]
    trained = [f"{title('rule', c.rule)} on {title('dataset', c.dataset)}, {title('model', c.model)}" for c in cells]
    if trained:
        yield Note(
            f"The database has no result for this table's data sets, networks and rules. To show what it has "
            f"({some(trained)}):",
            ("asapbench report --suite NAME",),
        )


def _number(summary: Summary | None, printed: Printed, *, metric: Metric, what: str = "") -> Number:
    decay = printed.key[3]
    variant = "" if decay is None else f"weight_decay {plain(decay)}"
    if printed.key[2] == CITED[PROBABLE]:
        variant = f"probably {PROBABLE}"
    variant = ", ".join(filter(None, (variant, what)))
    return number(summary, names=printed.key[:3], metric=metric, variant=variant, published=printed.value)
