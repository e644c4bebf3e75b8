"""The paper's tables of accuracies (1, 2, 4 and 5): what the shipped suites measured, beside what was printed.

Only cells whose configuration equals a shipped suite's cell, whatever the seed, enter a measured line. Cells of the
same data set, model and rule with other options stand in lines of their own, and only when asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from asapbench.report.commands import commands_to_fill
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    configurations,
    counts_row,
    entries,
    left_out,
    measured_field,
    number,
    some,
)
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE, published
from asapbench.report.references import CITED, UNIDENTIFIED, Line, Printed, column_titles, lines
from asapbench.report.statistics import Summary, spread_and_count, usual_count
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Number, Row, Table
from asapbench.store import Result
from asapbench.suite.cell import Cell, differences, plain, title

ACCURACIES = (1, 2, 4, 5)
"""The printed tables that hold test accuracies. Table 3 holds learning rates."""

_REMARKS: Mapping[int, tuple[str, ...]] = {
    2: (
        "The paper prints no learning rate for ASFP and ASFP+LC: ASAP's is assumed. How its local classifiers' loss "
        "joins the global one is not printed either: here the local losses alone train the blocks.",
    ),
    4: ("The paper does not name the network: its column at 5e-4 is ResNet-34's row of Table 1.",),
    5: (
        "[48] could not be identified from the paper: decoupled greedy learning (Belilovsky et al. 2020) stands in "
        "for it, and its difference says nothing about [48].",
        "The local baselines use Adam at 5e-3 (D.4); their weight decay is not printed: 0 is assumed. Nor are their "
        "units: [46] has a classifier behind each block, as the appendix words it, [47] a loss behind each layer.",
    ),
}
"""What must stand below a table whatever was measured."""


def accuracy_table(
    table: int, results: Iterable[Result], *, metric: Metric = Metric.BEST, allow_deviations: bool = False
) -> Table:
    """Printed table `table`, one of `ACCURACIES`: test accuracy in percent, measured beside published."""
    results = list(results)
    found = configurations(results, metric)
    printed = lines(table)
    deviating = _deviating(found, printed)
    shown = [c for line in printed for p in line.numbers if (c := _exact(p, found)) is not None]
    summaries = [c.summary for c in (*shown, *(d.configuration for d in deviating if allow_deviations))]
    footnotes = Footnotes()
    layout = _Layout(found, deviating if allow_deviations else [], footnotes, usual_count(summaries))
    outdated = sum(result.outdated for result in results)
    return Table(
        title=f"Table {table}. {published().table(table).caption}",
        caption=_caption(metric, summaries),
        columns=(Column("Model" if table != 4 else "Rule", "left"), *map(Column, column_titles(table))),
        groups=tuple(Group(header, tuple(rows)) for header, rows in layout.by_header(printed)),
        notes=(
            *footnotes.notes(),
            *map(Note, _REMARKS.get(table, ())),
            *_notes(table, printed, found, metric),
            *_left_out(table, [] if allow_deviations else deviating, outdated),
            *([] if shown or deviating else _others(found.values())),
        ),
        numbers=tuple(layout.numbers(printed, metric)),
        metric=str(metric),
        unit="percent",
    )


@dataclass(frozen=True)
class _Deviating:
    """A configuration of a printed number's data set, model and rule that is another; `what` sets it apart."""

    configuration: Configuration
    printed: Printed
    what: str


@dataclass(frozen=True)
class _Layout:
    """For each printed row its measured, n, published and difference lines, then what deviates."""

    found: Mapping[str, Configuration]
    deviating: Sequence[_Deviating]
    footnotes: Footnotes
    usual: int

    def by_header(self, printed: Iterable[Line]) -> Iterable[tuple[str, list[Row]]]:
        groups: dict[str, list[Row]] = {}
        for line in printed:
            groups.setdefault(line.header, []).extend(self._of_line(line))
        return groups.items()

    def numbers(self, printed: Iterable[Line], metric: Metric) -> Iterable[Number]:
        for line in printed:
            for one in line.numbers:
                exact = _exact(one, self.found)
                summary = exact.summary if exact else None
                yield _number(summary, one, metric=metric, variant=_variant(one))
            for other in self._deviations(line):
                variant = ", ".join(filter(None, (_variant(other.printed), other.what)))
                yield _number(other.configuration.summary, other.printed, metric=metric, variant=variant)

    def _of_line(self, line: Line) -> Iterable[Row]:
        summaries = [c.summary if (c := _exact(one, self.found)) else None for one in line.numbers]
        yield Row((Field(line.stub), *(measured_field(summary, self.footnotes) for summary in summaries)))
        yield from counts_row(summaries, usual=self.usual)
        yield Row((_under("published"), *(Field(f"{one.value:.2f}", emphasis="faint") for one in line.numbers)))
        if any(summary and summary.n for summary in summaries):
            pairs = zip(summaries, line.numbers, strict=True)
            yield Row((_under("difference"), *(_difference(summary, one.value) for summary, one in pairs)))
        yield from self._of_deviations(line)

    def _of_deviations(self, line: Line) -> Iterable[Row]:
        here = {(other.what, other.printed.key): other for other in self._deviations(line)}
        for what in dict.fromkeys(what for what, _ in here):
            found = [here.get((what, one.key)) for one in line.numbers]
            summaries = [other.configuration.summary if other else None for other in found]
            stub = Field("deviating", (self.footnotes.mark(f"differs from this table's cell: {what}"),), indent=1)
            yield Row((stub, *(measured_field(s, self.footnotes) if s else Field("") for s in summaries)))
            yield from counts_row(summaries, usual=self.usual)

    def _deviations(self, line: Line) -> list[_Deviating]:
        return [other for other in self.deviating if other.printed in line.numbers]


def _exact(printed: Printed, found: Mapping[str, Configuration]) -> Configuration | None:
    return None if printed.reference is None else found.get(printed.reference.cell.group)


def _deviating(found: Mapping[str, Configuration], printed: Iterable[Line]) -> list[_Deviating]:
    """Each configuration that is none of the table's, beside the nearest printed number of the same names."""
    by_names: dict[tuple[str, ...], list[tuple[Printed, Cell]]] = {}
    for one in (one for line in printed for one in line.numbers if one.reference is not None):
        assert one.reference is not None
        by_names.setdefault(one.key[:3], []).append((one, one.reference.cell))
    exact = {cell.group for pairs in by_names.values() for _, cell in pairs}
    deviating = []
    for group, configuration in found.items():
        cell = configuration.cell
        pairs = by_names.get(entries(cell))
        if pairs and group not in exact and configuration.summary.of:
            apart = [(differences(cell, reference), one) for one, reference in pairs]
            what, one = min(apart, key=lambda pair: len(pair[0]))
            deviating.append(_Deviating(configuration, one, ", ".join(what)))
    return deviating


def _notes(table: int, printed: Iterable[Line], found: Mapping[str, Configuration], metric: Metric) -> Iterable[Note]:
    known = [one.reference for line in printed for one in line.numbers if one.reference is not None]
    pairs = [(ref, found.get(ref.cell.group)) for ref in known]
    if metric is not Metric.BEST:
        yield Note(f"The published numbers are taken as best test epochs, the measured ones {metric.described}.")
    if lacking := sum(c.without_metric for _, c in pairs if c):
        yield Note(
            f"{lacking} finished trainings have no {metric}: it needs examples held out for validation, which deviates "
            "from the paper. To train and show such cells:",
            commands=(
                f"asapbench run {known[0].suite} --set validation=5000",
                f"asapbench report --table {table} --metric {metric} --allow-deviations",
            ),
        )
    if unfinished := [(ref, c) for ref, c in pairs if c and c.unfinished]:
        states = Counter(state.replace("_", " ") for _, c in unfinished for _, state in c.unfinished)
        suites = dict.fromkeys(ref.suite for ref, _ in unfinished)
        counted = ", ".join(f"{count} {state}" for state, count in states.items())
        text = f"{_count(states.total(), 'training')} started and not finished ({counted}). To resume:"
        yield Note(text, commands=(f"asapbench resume {' '.join(suites)}",))
    if missing := [ref for ref, c in pairs if c is None]:
        yield Note(f'"{MISSING}": not measured yet. To fill:', commands=tuple(commands_to_fill(missing)))


def _left_out(table: int, deviating: Sequence[_Deviating], outdated: int) -> Iterable[Note]:
    command = f"asapbench report --table {table} --allow-deviations"
    yield from left_out([other.what for other in deviating], of="table", command=command)
    if outdated:
        yield Note(f"{_count(outdated, 'result')} left out: measured under an earlier revision of the code.")


def _others(found: Iterable[Configuration]) -> Iterable[Note]:
    """Why a table shows nothing of a database that is not empty."""
    measured = [c.cell for c in found if c.summary.of]
    if measured:
        trained = [
            f"{title('rule', cell.rule)} on {title('dataset', cell.dataset)}, {title('model', cell.model)}"
            for cell in measured
        ]
        yield Note(
            "Nothing in the database is of this table's data sets, networks and rules; what is there "
            f"({some(trained)}) is shown by `asapbench report --suite NAME`."
        )


def _number(summary: Summary | None, printed: Printed, *, metric: Metric, variant: str) -> Number:
    return number(summary, names=printed.key[:3], metric=metric, variant=variant, published=printed.value)


def _variant(printed: Printed) -> str:
    if printed.key[2] == CITED[UNIDENTIFIED]:
        return f"stands in for {UNIDENTIFIED}, which is unidentified"
    return "" if printed.key[3] is None else f"weight_decay {plain(printed.key[3])}"


def _caption(metric: Metric, summaries: list[Summary]) -> str:
    return (
        f"Test accuracy in percent {metric.described}; {spread_and_count(summaries)}. First line of each row: "
        f"measured; below it as published ({SOURCE}) and the difference, measured minus published."
    )


def _under(text: str) -> Field:
    return Field(text, indent=1, emphasis="faint")


def _difference(summary: Summary | None, value: float) -> Field:
    if summary is None or summary.mean is None:
        return Field("")
    return Field(f"{summary.mean - value:+.2f}")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
