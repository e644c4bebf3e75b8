"""`report --suite`: every configuration of a suite that the database holds, rules side by side."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from asapbench.report.best import Best, best, explained
from asapbench.report.configuration import (
    Configuration,
    configurations,
    counts_row,
    difference_field,
    faint,
    measured_field,
    names,
    number,
    published_field,
    state_text,
    summary_of,
)
from asapbench.report.grid import Grid
from asapbench.report.other_works import OtherNumber, Work, numbers_of_other_works, works_of
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Summary, spread_and_count, usual_count
from asapbench.report.table import Column, Field, Footnotes, Note, Row, Table, grouped
from asapbench.store import Result
from asapbench.store.records import FINAL
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell, title
from asapbench.suite.load import Suite


def suite_table(
    name: str,
    cells: Sequence[Cell],
    results: Sequence[Result],
    *,
    heading: str = "",
    metric: Metric = Metric.LAST,
    file: Suite | None = None,
    notes: Sequence[Note] = (),
) -> Table:
    """Test accuracy in percent of the `cells` that the database holds for suite `name`, below its `heading`.

    `file` is the suite file of the run, where it is known: footnotes name what deviates from it.
    """
    wanted = {cell.id for cell in cells}
    results = [result for result in results if result.cell.id in wanted]
    found = configurations(results, metric)
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.group, cell)
    grid = Grid(tuple(first.values()), file)
    published = {group: number for group, number in numbers_of_other_works().items() if group in first}
    works = works_of(published.values())
    summaries = [configuration.summary for configuration in found.values()]
    footnotes = Footnotes()
    marked = [best([summary_of(row.get(rule), found) for rule in grid.rules]) for row in grid.rows]
    groups = grouped(_rows(grid, found, footnotes, marked, published=published, usual=usual_count(summaries)))
    shared = f"; every model with {grid.shared[1:-1]}" if grid.shared else ""
    return Table(
        name=name,
        title=name if heading in ("", name) else f"{heading} (suite {name})",
        caption=(
            f"Test accuracy in percent {metric.described}; {spread_and_count(summaries)}{shared}."
            f"{explained(marked)}{_published_below(works)}"
        ),
        columns=(Column("Model", "left"), *(Column(title("rule", rule)) for rule in grid.rules)),
        groups=groups,
        notes=(
            *footnotes.notes(),
            *(map(Note, (work.remark for work in works)) if len(works) == 1 else ()),
            *notes,
            *_without_order(grid, found),
            *_unfinished(name, cells, results),
            *_without_metric(found, metric),
        ),
        numbers=tuple(
            number(
                summary_of(cell, found),
                names=names(cell),
                metric=metric,
                variant=grid.variant(cell) or grid.deviation(cell),
                published=published[cell.group].value if cell.group in published else None,
            )
            for cell in grid.cells
        ),
        summary=_order(grid, found),
    )


def _published_below(works: Sequence[Work]) -> str:
    """For a caption: what the lines below a row are, where other works publish numbers for it."""
    if not works:
        return ""
    citations = "; ".join(dict.fromkeys(work.citation for work in works))
    return (
        f" First line of each row: measured; below it as published ({citations}) and the difference, measured minus "
        "published."
    )


def _rows(
    grid: Grid,
    found: Mapping[str, Configuration],
    footnotes: Footnotes,
    marked: Sequence[Best],
    *,
    published: Mapping[str, OtherNumber],
    usual: int,
) -> Iterator[tuple[str, Sequence[Row]]]:
    """The data set and the lines of each row."""
    for by_rule, one in zip(grid.rows, marked, strict=True):
        first = next(iter(by_rule.values()))
        deviations = sorted({what for cell in by_rule.values() if (what := grid.deviation(cell))})
        marks = tuple(footnotes.mark(f"deviates from the suite file: {what}") for what in deviations)
        summaries = [summary_of(by_rule.get(rule), found) for rule in grid.rules]
        # Blank where the suite has no such cell, "-" where it has one that is not measured.
        shown = [
            measured_field(summary, footnotes) if rule in by_rule else Field("")
            for rule, summary in zip(grid.rules, summaries, strict=True)
        ]
        stub = ", ".join(filter(None, (title("model", first.model).removesuffix(grid.shared), grid.variant(first))))
        row = Row((Field(stub, marks), *one.shown(shown)))
        theirs = [published.get(by_rule[rule].group) if rule in by_rule else None for rule in grid.rules]
        below = _published_rows(summaries, theirs, footnotes, works=works_of(published.values()))
        yield title("dataset", first.dataset), (row, *counts_row(summaries, usual=usual), *below)


def _published_rows(
    summaries: Sequence[Summary | None],
    theirs: Sequence[OtherNumber | None],
    footnotes: Footnotes,
    *,
    works: Sequence[Work],
) -> Iterator[Row]:
    """The lines of published numbers and of differences below a row; of several works each has a footnote."""
    if not any(theirs):
        return
    several = len(works) > 1
    marks = [(footnotes.mark(number.work.remark),) if number and several else () for number in theirs]
    values = [None if number is None else number.value for number in theirs]
    yield Row((faint("published"), *(published_field(v, m) for v, m in zip(values, marks, strict=True))))
    pairs = [(summary, number) for summary, number in zip(summaries, theirs, strict=True)]
    if any(summary and summary.n for summary, number in pairs if number):
        differences = (difference_field(summary, number.value) if number else Field("") for summary, number in pairs)
        yield Row((faint("difference"), *differences))


def _order(grid: Grid, found: Mapping[str, Configuration]) -> str:
    """The rules from best to worst by their average over the rows in which no training of any of them diverged.

    Empty where a rule has several values.
    """
    rows = [
        {rule: found[cell.group].summary for rule, cell in row.items() if cell.group in found} for row in grid.compared
    ]
    measured = [rule for rule in grid.rules if any(row[rule].ended for row in rows if rule in row)]
    means = [{rule: s.mean for rule, s in row.items() if s.mean is not None and not s.diverged} for row in rows]
    complete = [row for row in means if len(row) == len(measured)]
    if len(measured) < 2 or not complete or grid.with_several_values:
        return ""
    averages = {rule: fmean(row[rule] for row in complete) for rule in measured}
    ranked = sorted(measured, key=lambda rule: -averages[rule])
    over = f"average over {len(complete)} rows" if len(complete) > 1 else "one row"
    listed = ", ".join(f"{title('rule', rule)} {averages[rule]:.2f}" for rule in ranked)
    return f"Best to worst ({over}): {listed}"


def _without_order(grid: Grid, found: Mapping[str, Configuration]) -> Iterator[Note]:
    """Why there is no order, where the reason is not a lack of numbers."""
    measured = {cell.rule for row in grid.compared for cell in row.values() if cell.group in found}
    if len(measured) > 1 and (several := grid.with_several_values):
        rules = ", ".join(RULES[name].title for name in several)
        yield Note(
            f"No order from best to worst: {rules} {'has' if len(several) == 1 else 'have'} several values on one "
            "network, and a choice among them needs validation data."
        )


def _unfinished(name: str, cells: Sequence[Cell], results: Sequence[Result]) -> Iterator[Note]:
    states: dict[str, str] = {result.cell.id: "outdated" for result in results if result.outdated}
    states |= {result.cell.id: result.attempt.state for result in results if not result.outdated}
    unfinished = [(cell, state) for cell in cells if (state := states.get(cell.id, "pending")) not in FINAL]
    if unfinished:
        counts = Counter(state for _, state in unfinished)
        commands = [f"asapbench {'run' if 'outdated' in counts else 'resume'} {shlex.quote(name)}"]
        commands += [f"asapbench show {cell.short}" for cell, state in unfinished if state == "failed"][:1]
        listed = ", ".join(f"{count} {state_text(state)}" for state, count in counts.items())
        yield Note(f"{len(unfinished)} of {len(cells)} cells not finished ({listed}):", tuple(commands))


def _without_metric(found: Mapping[str, Configuration], metric: Metric) -> Iterator[Note]:
    if lacking := sum(configuration.without_metric for configuration in found.values()):
        validation = ": it needs examples held out for validation (--set validation=...)"
        yield Note(f"{lacking} finished cells have no {metric}{validation if metric is Metric.BEST_VAL else ''}.")
