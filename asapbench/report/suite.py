"""`report --suite`: every configuration of a suite that the database holds, rules side by side."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from asapbench.report.configuration import (
    Configuration,
    configurations,
    counts_row,
    entries,
    measured_field,
    names,
    number,
)
from asapbench.report.metric import Metric
from asapbench.report.statistics import Summary, spread_and_count, usual_count
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Row, Table
from asapbench.store import Result
from asapbench.store.records import FINAL
from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import Cell, differences, title
from asapbench.suite.columns import field_text, varying
from asapbench.suite.load import Suite
from asapbench.suite.options import Choice


def suite_table(
    name: str,
    cells: Sequence[Cell],
    results: Iterable[Result],
    *,
    heading: str = "",
    metric: Metric = Metric.LAST,
    file: Suite | None = None,
    notes: Sequence[Note] = (),
) -> Table:
    """Test accuracy in percent of the `cells` that the database holds for suite `name`, below its `heading`.

    `file` is the suite's file as it was run, where it is known: what deviates from it is said in footnotes.
    """
    wanted = {cell.id for cell in cells}
    results = [result for result in results if result.cell.id in wanted]
    found = configurations(results, metric)
    layout = _Layout.of(cells, found, file)
    summaries = [configuration.summary for configuration in found.values()]
    footnotes = Footnotes()
    groups = tuple(layout.groups(footnotes, usual=usual_count(summaries)))
    return Table(
        title=name if heading in ("", name) else f"{heading} (suite {name})",
        caption=f"Test accuracy in percent {metric.described}; {spread_and_count(summaries)}{layout.shared_note}.",
        columns=(Column("Model", "left"), *(Column(title("rule", rule)) for rule in layout.rules)),
        groups=groups,
        notes=(
            *footnotes.notes(),
            *notes,
            *layout.notes(),
            *_notes(name, cells, results, layout.found.values(), metric),
        ),
        numbers=tuple(
            number(
                layout.summary(cell),
                names=names(cell),
                metric=metric,
                variant=layout.apart(cell),
            )
            for cell in layout.cells
        ),
        metric=str(metric),
        unit="percent",
        summary=layout.order(),
    )


@dataclass(frozen=True)
class _Layout:
    """Where each configuration stands. `varying` are the fields besides data set, model, rule and seed that tell
    configurations of the same three apart; `shared` are the model options that all of them have.
    """

    cells: tuple[Cell, ...]
    found: dict[str, Configuration]
    varying: tuple[str, ...]
    shared: str
    file: Suite | None

    @classmethod
    def of(cls, cells: Sequence[Cell], found: dict[str, Configuration], file: Suite | None) -> _Layout:
        first = {cell.group: cell for cell in reversed(cells)}
        distinct = tuple(first[group] for group in dict.fromkeys(cell.group for cell in cells))
        options = {_options(cell) for cell in distinct}
        shared = options.pop() if len(options) == 1 else ""
        return cls(distinct, found, varying(distinct), shared, file)

    @property
    def rules(self) -> list[Choice]:
        return list(dict.fromkeys(cell.rule for cell in self.cells))

    @property
    def shared_note(self) -> str:
        return f"; every model with {self.shared[1:-1]}" if self.shared else ""

    def summary(self, cell: Cell) -> Summary | None:
        return self.found[cell.group].summary if cell.group in self.found else None

    def variant(self, cell: Cell) -> str:
        """What sets the configuration apart from others of its data set, model and rule."""
        return ", ".join(field_text(cell, name) for name in self.varying)

    def apart(self, cell: Cell) -> str:
        """For the long form: the variant, or where there is only one, what sets it apart from the suite's file."""
        return self.variant(cell) or self.deviation(cell)

    def deviation(self, cell: Cell) -> str:
        """What sets the configuration apart from the nearest cell of the suite's file; empty if it is one of its."""
        if self.file is None or cell.group in {known.group for known in self.file.cells}:
            return ""
        same = [differences(cell, known) for known in self.file.cells if entries(known) == entries(cell)]
        nearest: list[str] = min(same, key=len, default=["not in it"])
        return ", ".join(nearest)

    def stub(self, cell: Cell) -> str:
        """How the configuration's row is named."""
        model = title("model", cell.model).removesuffix(self.shared)
        return ", ".join(filter(None, (model, self.variant(cell))))

    def rows(self) -> list[dict[Choice, Cell]]:
        """For each row its configurations by rule: they have everything else that varies in common."""
        rows: dict[tuple[object, ...], dict[Choice, Cell]] = {}
        for cell in self.cells:
            values = tuple(getattr(cell, name) for name in self.varying)
            rows.setdefault((cell.dataset, cell.model, *values), {})[cell.rule] = cell
        return list(rows.values())

    def groups(self, footnotes: Footnotes, *, usual: int) -> Iterable[Group]:
        groups: dict[Choice, list[Row]] = {}
        for by_rule in self.rows():
            first = next(iter(by_rule.values()))
            deviations = {self.deviation(cell) for cell in by_rule.values()}
            faults = [f"deviates from the suite file: {what}" for what in sorted(deviations) if what]
            marks = tuple(footnotes.mark(fault) for fault in faults)
            cells = [by_rule.get(rule) for rule in self.rules]
            summaries = [self.summary(cell) if cell else None for cell in cells]
            lines = groups.setdefault(first.dataset, [])
            # Blank where the suite has no such cell, "-" where it has one that is not measured.
            shown = (measured_field(self.summary(cell), footnotes) if cell else Field("") for cell in cells)
            lines.append(Row((Field(self.stub(first), marks), *shown)))
            lines.extend(counts_row(summaries, usual=usual))
        return (Group(title("dataset", dataset), tuple(rows)) for dataset, rows in groups.items())

    def order(self) -> str:
        """The rules from best to worst by their average over the rows in which no training of any of them diverged.

        Empty where a rule has several values.
        """
        rows = self.compared()
        summaries = [{rule: s for rule, cell in row.items() if (s := self.summary(cell)) and s.of} for row in rows]
        measured = [rule for rule in self.rules if any(rule in row for row in summaries)]
        complete = [
            means
            for row in summaries
            if len(means := {r: s.mean for r, s in row.items() if s.mean is not None and not s.diverged})
            == len(measured)
        ]
        if len(measured) < 2 or not complete or self.with_several_values():
            return ""
        means = {rule: fmean(row[rule] for row in complete) for rule in measured}
        ranked = sorted(means, key=lambda rule: -means[rule])
        over = f"average over {len(complete)} rows" if len(complete) > 1 else "one row"
        listed = ", ".join(f"{title('rule', rule)} {means[rule]:.2f}" for rule in ranked)
        return f"Best to worst ({over}): {listed}"

    def compared(self) -> list[dict[Choice, Cell]]:
        """The rows that an order is over: those that deviate from the suite's file only if there is no other."""
        rows = self.rows()
        return [row for row in rows if not any(self.deviation(cell) for cell in row.values())] or rows

    def with_several_values(self) -> list[str]:
        """Names of rules that a network has with several values on one data set, such as learning rates or options.

        Their average would say nothing of the rule, and a choice among them takes validation data.
        """
        counts = Counter((cell.dataset, cell.model, cell.rule.name) for row in self.compared() for cell in row.values())
        return list(dict.fromkeys(rule for (_, _, rule), count in counts.items() if count > 1))

    def notes(self) -> Iterable[Note]:
        """Why there is no order, where the reason is no lack of numbers."""
        measured = {cell.rule for row in self.compared() for cell in row.values() if self.summary(cell)}
        if len(measured) > 1 and (several := self.with_several_values()):
            rules = ", ".join(CATALOG["rule"][name].title for name in several)
            yield Note(
                f"No order from best to worst: {rules} {'has' if len(several) == 1 else 'have'} several values on one "
                "network, and a choice among them needs validation data."
            )


def _options(cell: Cell) -> str:
    """The model's options that are not at their default: `(width=8)`."""
    return title("model", cell.model).removeprefix(CATALOG["model"][cell.model.name].title)


def _notes(
    name: str, cells: Sequence[Cell], results: Sequence[Result], found: Iterable[Configuration], metric: Metric
) -> Iterable[Note]:
    states: dict[str, str] = {result.cell.id: "outdated" for result in results if result.outdated}
    states |= {result.cell.id: result.attempt.state for result in results if not result.outdated}
    unfinished = [(cell, state) for cell in cells if (state := states.get(cell.id, "pending")) not in FINAL]
    if unfinished:
        counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in Counter(s for _, s in unfinished).items())
        outdated = any(state == "outdated" for _, state in unfinished)
        commands = [f"asapbench {'run' if outdated else 'resume'} {shlex.quote(name)}"]
        commands += [f"asapbench show {cell.short}" for cell, state in unfinished if state == "failed"][:1]
        yield Note(f"{len(unfinished)} of {len(cells)} cells not finished ({counts}):", tuple(commands))
    if lacking := sum(configuration.without_metric for configuration in found):
        text = f"{lacking} finished cells have no {metric}"
        if metric is Metric.BEST_VAL:
            text += ": it needs examples held out for validation (--set validation=...)"
        yield Note(f"{text}.")
