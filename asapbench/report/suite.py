"""`report --suite`: every configuration of a suite that the database holds, rules side by side."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from asapbench.report.best import Best, best, strong, why_none
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    configurations,
    counts_row,
    difference_field,
    faint,
    lacking_metric,
    measured_field,
    names,
    number,
    published_field,
    state_text,
    summary_of,
)
from asapbench.report.grid import Grid, control_of
from asapbench.report.other_works import OtherNumber, Work, numbers_of_other_works, works_of
from asapbench.report.quantity import Metric
from asapbench.report.selection import Selection, swept
from asapbench.report.statistics import Spread, Summary, spread_and_count, usual_count
from asapbench.report.table import (
    AND_DIFFERENCE,
    DIFFERENCE,
    PUBLISHED,
    Column,
    Exact,
    Field,
    Footnotes,
    Note,
    Number,
    Row,
    Table,
    grouped,
)
from asapbench.store import Outcome
from asapbench.store.records import FINAL
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell, title
from asapbench.suite.load import Suite
from asapbench.suite.options import Choice


def suite_table(
    name: str,
    cells: Sequence[Cell],
    results: Sequence[Outcome],
    *,
    heading: str = "",
    metric: Metric = Metric.LAST,
    file: Suite | None = None,
    spread: Spread = Spread.SD,
    selection: Selection | None = None,
    notes: Sequence[Note] = (),
) -> Table:
    """Test accuracy in percent of the `cells` that the database holds for suite `name`, below its `heading`.

    `file` is the suite file of the run, where it is known: footnotes name what deviates from it. With a `selection`,
    one chosen value of what was swept stands for all of them.
    """
    wanted = {cell.id for cell in cells}
    results = [result for result in results if result.cell.id in wanted]
    layout = layout_of(cells, results, metric=metric, file=file, spread=spread, selection=selection)
    grid, found, works = layout.grid, layout.found, layout.works
    summaries = [configuration.summary for configuration in found.values()]
    marked = [best(layout.summaries(row)) for row in grid.rows]
    rows = [layout.rows(row, one) for row, one in zip(grid.rows, marked, strict=True)]
    shared = f"; every model with {grid.shared[1:-1]}" if grid.shared else ""
    ranked = _order(grid, found)
    return Table(
        name=name,
        title=name if heading in ("", name) else f"{heading} (suite {name})",
        caption=(
            f"Test accuracy in percent {metric.described}; {spread_and_count(summaries, spread=spread)}{shared}."
            f"{why_none(marked)}{selection.explained(metric) if selection else ''}{_published_below(works)}"
        ),
        columns=(Column("Model", "left"), *(Column(title("rule", rule)) for rule in grid.rules)),
        groups=grouped(rows),
        notes=(
            *layout.footnotes.notes(),
            *(map(Note, (work.remark for work in works)) if len(works) == 1 else ()),
            *notes,
            *_without_order(name, grid, found),
            *unfinished(name, cells, results),
            *lacking_metric(found.values(), metric),
        ),
        numbers=tuple(layout.number(cell, metric) for cell in grid.cells),
        summary="" if ranked is None else ranked.text(),
        ranked=ranked,
        strong=strong(marked),
    )


@dataclass(frozen=True)
class Layout:
    """The lines of each row of the grid. `found` and `published` are by the group of the grid's cells."""

    grid: Grid
    found: Mapping[str, Configuration]
    published: Mapping[str, OtherNumber]
    usual: int
    spread: Spread
    selection: Selection | None
    footnotes: Footnotes

    @property
    def works(self) -> tuple[Work, ...]:
        """The other works that publish some of the numbers."""
        return works_of(self.published.values())

    def summaries(self, row: Mapping[Choice, Cell]) -> list[Summary | None]:
        """What is measured of each rule."""
        return [summary_of(row.get(rule), self.found) for rule in self.grid.rules]

    def rows(self, row: Mapping[Choice, Cell], best: Best) -> tuple[str, Sequence[Row]]:
        """The data set and the lines of a row; `best` has what is marked in it."""
        stub, summaries = self.stub(row), self.summaries(row)
        # Blank where the suite has no such cell, "-" where it has one that is not measured.
        shown = [
            measured_field(summary, self.footnotes, self.spread) if rule in row else Field("")
            for rule, summary in zip(self.grid.rules, summaries, strict=True)
        ]
        theirs = [self.published.get(row[rule].group) if rule in row else None for rule in self.grid.rules]
        below = (
            *self.chosen_rows(row),
            *counts_row(summaries, usual=self.usual),
            *_published_rows(summaries, theirs, self.footnotes, works=self.works),
        )
        return dataset_of(row), (Row((stub, *best.shown(shown))), *below)

    def stub(self, row: Mapping[Choice, Cell]) -> Field:
        """The name of a row, with a footnote for what deviates from the suite file."""
        first = next(iter(row.values()))
        deviations = sorted({what for cell in row.values() if (what := self.grid.deviation(cell))})
        marks = tuple(self.footnotes.mark(f"deviates from the suite file: {what}") for what in deviations)
        model = title("model", first.model).removesuffix(self.grid.shared)
        return Field(", ".join(filter(None, (model, self.grid.variant(first)))), marks)

    def chosen_rows(self, row: Mapping[Choice, Cell]) -> Iterator[Row]:
        """The line of chosen values below a row."""
        if self.selection is not None:
            fields = [self.chosen_field(row.get(rule), self.selection) for rule in self.grid.rules]
            yield Row((faint(", ".join(self.selection.keys)), *fields))

    def chosen_field(self, cell: Cell | None, selection: Selection) -> Field:
        """The chosen value at a place, or a dash and why there is none."""
        if cell is None:
            return Field("")
        if (chosen := selection.chosen.get(cell.group)) is None:
            why = selection.impossible.get(cell.group)
            return Field(MISSING, (self.footnotes.mark(why),) if why else (), emphasis="faint")
        remarks = filter(None, (chosen.edge, chosen.left_out))
        return Field(chosen.text, tuple(map(self.footnotes.mark, remarks)), emphasis="faint")

    def not_compared(self) -> Iterator[Note]:
        """Which rules take no part in a comparison of the rows."""
        if rules := self.grid.not_compared:
            yield Note(f"Not in the suite file, and not compared: {', '.join(title('rule', rule) for rule in rules)}.")

    def measured(self, cell: Cell) -> Cell:
        """A cell of what is shown at a place: of its chosen configuration, where there is a selection."""
        chosen = self.selection.chosen.get(cell.group) if self.selection else None
        return chosen.cell if chosen else cell

    def variant(self, cell: Cell) -> str:
        """What distinguishes a place from others of the same data set, model and rule, the chosen value too."""
        variant = self.grid.variant(cell) or self.grid.deviation(cell)
        chosen = self.selection.chosen.get(cell.group) if self.selection else None
        if self.selection is None or chosen is None:
            return variant
        return ", ".join(filter(None, (variant, chosen.text and f"{', '.join(self.selection.keys)} {chosen.text}")))

    def number(self, cell: Cell, metric: Metric) -> Number:
        """The long form of what stands at one place."""
        return number(
            summary_of(cell, self.found),
            names=names(self.measured(cell)),
            metric=metric,
            variant=self.variant(cell),
            published=self.published[cell.group].value if cell.group in self.published else None,
        )


def dataset_of(row: Mapping[Choice, Cell]) -> str:
    """The title of a row's data set."""
    return title("dataset", next(iter(row.values())).dataset)


def layout_of(
    cells: Sequence[Cell],
    results: Sequence[Outcome],
    *,
    metric: Metric,
    file: Suite | None,
    spread: Spread,
    selection: Selection | None,
) -> Layout:
    """The rows and columns of the cells, or of what was selected among them."""
    first: dict[str, Cell] = {}
    for cell in selection.cells if selection else cells:
        first.setdefault(cell.group, cell)
    found = selection.found if selection else configurations(results, metric)
    others = numbers_of_other_works()
    stands_for = {group: found[group].cell.group if selection and group in found else group for group in first}
    return Layout(
        grid=Grid(tuple(first.values()), selection.file(file) if selection and file else file),
        found=found,
        published={group: others[own] for group, own in stands_for.items() if own in others},
        usual=usual_count(configuration.summary for configuration in found.values()),
        spread=spread,
        selection=selection,
        footnotes=Footnotes(),
    )


def _published_below(works: Sequence[Work]) -> str:
    """For a caption: what the lines below a row are, where other works publish numbers for it."""
    if not works:
        return ""
    citations = "; ".join(dict.fromkeys(work.citation for work in works))
    return f" First line of each row: measured; below it as published ({citations}){AND_DIFFERENCE}."


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
    yield Row((faint(PUBLISHED), *(published_field(v, m) for v, m in zip(values, marks, strict=True))))
    pairs = [(summary, number) for summary, number in zip(summaries, theirs, strict=True)]
    if any(summary and summary.n for summary, number in pairs if number):
        differences = (difference_field(summary, number.value) if number else Field("") for summary, number in pairs)
        yield Row((faint(DIFFERENCE), *differences))


def _order(grid: Grid, found: Mapping[str, Configuration]) -> Exact | None:
    """The rules from best to worst by their average over the rows in which no training of any of them diverged.

    None where a rule has several values.
    """
    rows = [
        {rule: found[cell.group].summary for rule, cell in row.items() if cell.group in found} for row in grid.compared
    ]
    measured = [rule for rule in grid.rules if any(row[rule].ended for row in rows if rule in row)]
    means = [{rule: s.mean for rule, s in row.items() if s.mean is not None and not s.diverged} for row in rows]
    complete = [row for row in means if len(row) == len(measured)]
    if len(measured) < 2 or not complete or grid.with_several_values:
        return None
    averages = {rule: fmean(row[rule] for row in complete) for rule in measured}
    ranked = sorted(measured, key=lambda rule: -averages[rule])
    over = f"average over {len(complete)} rows" if len(complete) > 1 else "one row"
    titles = (title("rule", rule).replace("{", "{{").replace("}", "}}") for rule in ranked)
    listed = ", ".join(f"{text} {{:.2f}}" for text in titles)
    return Exact(f"Best to worst ({over}): {listed}", tuple(averages[rule] for rule in ranked))


def _without_order(name: str, grid: Grid, found: Mapping[str, Configuration]) -> Iterator[Note]:
    """Why there is no order, where the reason is not a lack of numbers; and how to choose among swept values."""
    measured = {cell.rule for row in grid.compared for cell in row.values() if cell.group in found}
    if len(measured) > 1 and (several := grid.with_several_values):
        rules = ", ".join(RULES[name].title for name in several)
        have = "has" if len(several) == 1 else "have"
        text = f"No order from best to worst: {rules} {have} several values on one network"
        cells = [cell for row in grid.compared for cell in row.values()]
        if all(cell.validation for cell in cells):
            controls = {f"rule.{option}" for cell in cells for option in control_of(cell.rule)}
            keys = ",".join(key for key in swept(cells) if key not in controls)
            command = f"asapbench report --suite {shlex.quote(name)} --select {keys}"
            yield Note(f"{text}. To choose among them by validation accuracy:", (command,))
        else:
            yield Note(f"{text}, and a choice among them needs validation data.")


def unfinished(name: str, cells: Sequence[Cell], results: Sequence[Outcome]) -> Iterator[Note]:
    """How many of the cells are not finished, in which states, and the command that trains them."""
    states: dict[str, str] = {result.cell.id: "outdated" for result in results if result.outdated}
    states |= {result.cell.id: result.attempt.state for result in results if not result.outdated}
    left = [(cell, state) for cell in cells if (state := states.get(cell.id, "pending")) not in FINAL]
    if left:
        counts = Counter(state for _, state in left)
        commands = [f"asapbench {'run' if 'outdated' in counts else 'resume'} {shlex.quote(name)}"]
        commands += [f"asapbench show {cell.short}" for cell, state in left if state == "failed"][:1]
        listed = ", ".join(f"{count} {state_text(state)}" for state, count in counts.items())
        yield Note(f"{len(left)} of {len(cells)} cells not finished ({listed}):", tuple(commands))
