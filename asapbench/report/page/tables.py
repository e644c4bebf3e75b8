"""The tables of a page: one for each suite, and those of the paper in which anything is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asapbench.certificate import PROPERTIES, Certificate
from asapbench.report.build import with_option
from asapbench.report.certificates import limits, statement
from asapbench.report.certified import rule_title, with_notes
from asapbench.report.figures.budget import budget_figure
from asapbench.report.figures.matching import dimension_matching
from asapbench.report.figures.shortcut import shortcut_effect_figure
from asapbench.report.forward_alignment import forward_alignment_table
from asapbench.report.page.content import ChosenSuite, Content
from asapbench.report.paper import ACCURACIES, accuracy_table
from asapbench.report.quantity import USUAL, Metric, Numbers
from asapbench.report.reduced import reduced_rows, reduced_table
from asapbench.report.suite import suite_table
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Row, Table
from asapbench.report.tuned import tuned_table

_SHOWN = {"holds": "holds", "declared": "declared", "fails": "fails", "not applicable": "-"}


def suite_tables(content: Content, *, option: str, numbers: Numbers = USUAL) -> list[Table]:
    """The report of each suite that has a chosen cell, and those of its search. Commands end in `option`."""
    made = (table for chosen in content.suites for table in _of_suite(chosen, content, numbers))
    return [_finished(table, content, option=option) for table in made]


def _of_suite(chosen: ChosenSuite, content: Content, numbers: Numbers) -> Iterator[Table]:
    metric, heading = numbers.metric or Metric.LAST, chosen.suite.title
    results = [one.result for one in content.trained]
    yield suite_table(
        chosen.suite.name,
        chosen.cells,
        results,
        heading=heading,
        metric=metric,
        file=chosen.suite.file,
        spread=numbers.spread,
        selection=chosen.selection,
        notes=chosen.notes,
    )
    for number in ACCURACIES:
        rows = reduced_rows(number, chosen.cells, results, metric=metric)
        if any(row.correlation for row in rows):
            yield reduced_table(number, rows, suite=chosen.suite.name, metric=metric, spread=numbers.spread)
    if chosen.tuned:
        yield tuned_table(chosen.suite, chosen.tuned, heading=heading, metric=metric, spread=numbers.spread)
        yield budget_figure(chosen.tuned, heading=heading).table


def paper_tables(content: Content, *, option: str, numbers: Numbers = USUAL) -> list[Table]:
    """The paper's tables, and Figures 9 and 10 as tables, that have a measured number.

    Commands end in `option`.
    """
    results, metric, spread = [one.result for one in content.trained], numbers.metric or Metric.BEST, numbers.spread
    made = [accuracy_table(number, results, metric=metric, spread=spread) for number in ACCURACIES]
    made.append(forward_alignment_table(results, metric=metric, spread=spread))
    made.append(dimension_matching(results, metric=metric).table)
    if analyzed := [(one.result.cell, one.shortcut) for one in content.trained if one.shortcut]:
        made.append(shortcut_effect_figure(analyzed).table)
    measured = (table for table in made if any(number.measured is not None for number in table.numbers))
    return [_finished(table, content, option=option) for table in measured]


def _finished(table: Table, content: Content, *, option: str) -> Table:
    return with_option(with_notes(table, content.certificates), option)


def certificate_table(certificates: Sequence[Certificate]) -> Table | None:
    """What was certified: a row for each rule on each model, a column for each property."""
    if not certificates:
        return None
    footnotes = Footnotes()
    groups = (Group("", tuple(_certificate(one, footnotes) for one in certificates)),)
    return Table(
        title="Properties of each rule",
        caption="What asapbench check found on small networks and random batches, in float64 on the CPU. holds: it was "
        "measured and holds. declared: a limit that the rule declares. -: it does not apply. A certificate says "
        "nothing of accuracy.",
        columns=(
            Column("Rule", "left"),
            Column("Model", "left"),
            Column("Certificate", "left"),
            *(Column(name, "left") for name in PROPERTIES),
        ),
        groups=groups,
        notes=(*footnotes.notes(), *(Note(f"{name}: {each.title}") for name, each in PROPERTIES.items())),
        numbers=(),
    )


def _certificate(one: Certificate, footnotes: Footnotes) -> Row:
    by_name = {found.name: found for found in one.findings}
    fields = []
    for name in PROPERTIES:
        found = by_name.get(name)
        told = found is not None and found.verdict in ("declared", "fails")
        marks = (footnotes.mark(statement(found)),) if found is not None and told else ()
        fields.append(Field(_SHOWN[found.verdict] if found else "-", marks))
    verdict = "certified" if one.holds else one.verdict
    return Row((Field(rule_title(one)), Field(one.model), Field(f"{verdict}{limits(one)}", emphasis="strong"), *fields))
