"""The paper's tables: what the shipped suites measured, beside what was printed.

Only cells whose configuration equals a shipped suite's cell, whatever the seed, enter a measured line. Cells of the
same data set, model and rule with other options stand in lines of their own, and only when asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from asapbench.errors import AsapbenchError
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    configurations,
    counts_row,
    measured_field,
    number,
)
from asapbench.report.metric import Metric
from asapbench.report.published import SOURCE, PublishedRow, PublishedTable, published
from asapbench.report.statistics import Summary, spread_and_count, usual_count
from asapbench.report.table import Column, Field, Footnotes, Group, Note, Number, Row, Table
from asapbench.store import Result
from asapbench.suite.catalog import DATASETS, MODELS, RULES
from asapbench.suite.cell import Cell, differences
from asapbench.suite.load import load, shipped

AVAILABLE = (1, 3)
"""The tables this version can make; the others need rules that it does not have yet."""

Key = tuple[str, str, str]
"""Names of data set, model and rule."""


@dataclass(frozen=True)
class Reference:
    """The cell that a shipped suite declares for one printed number."""

    suite: str
    cell: Cell


def check_available(table: int) -> None:
    """Raises AsapbenchError, naming the tables there are, for one that cannot be made."""
    if table not in AVAILABLE:
        known = " and ".join(map(str, AVAILABLE))
        later = "is not available in this version" if 1 <= table <= 5 else "does not exist"
        raise AsapbenchError(f"--table {table}: table {table} {later}; available: {known}")


@cache
def references(table: int) -> Mapping[Key, Reference]:
    """The shipped suites' cells for printed table `table`, by the names of data set, model and rule."""
    found: dict[Key, Reference] = {}
    for path in shipped().values():
        suite = load(str(path))
        if table in suite.tables:
            for cell in suite.cells:
                found.setdefault(_key(cell), Reference(suite.name, cell))
    return found


def table1(results: Iterable[Result], *, metric: Metric = Metric.BEST, allow_deviations: bool = False) -> Table:
    """Table 1: test accuracy in percent of every data set, model and rule, measured beside published."""
    printed, known = published().table(1), references(1)
    results = list(results)
    found = configurations(results, metric)
    outdated = sum(result.outdated for result in results)
    exact = {key: found[ref.cell.group] for key, ref in known.items() if ref.cell.group in found}
    deviating = _deviating(found, known) if allow_deviations else {}
    footnotes = Footnotes()
    shown = [*exact.values(), *(c for by_rule in deviating.values() for c in by_rule.values())]
    lines = _Lines(printed, exact, deviating, footnotes, usual_count(c.summary for c in shown))
    return Table(
        title=f"Table 1. {printed.caption}",
        caption=_caption(metric, [c.summary for c in shown]),
        columns=(Column("Model", "left"), *(Column(RULES[str(rule)].title) for rule in printed.columns)),
        groups=tuple(Group(DATASETS[name].title, tuple(rows)) for name, rows in lines.by_dataset()),
        notes=(*footnotes.notes(), *_notes(exact, known, metric), *_left_out(found, known, outdated, allow_deviations)),
        numbers=tuple(_numbers(printed, exact, deviating, metric)),
        metric=str(metric),
        unit="percent",
    )


def table3() -> Table:
    """Table 3: the initial learning rates in the shipped suite files, beside the published ones."""
    printed, known = published().table(3), references(3)
    footnotes, numbers = Footnotes(), []
    groups: dict[str, list[Row]] = {}
    for row in printed.rows:
        ours, theirs = [], []
        for key, value in _keyed(printed, row):
            rate = known[key].cell.lr if key in known else None
            marks = () if rate == value else (footnotes.mark("differs from the published learning rate"),)
            ours.append(Field(MISSING if rate is None else _rate(rate), marks, emphasis="strong"))
            theirs.append(Field(_rate(value), emphasis="faint"))
            numbers.append(_rate_number(key, rate, value))
        groups.setdefault(str(row.dataset), []).extend(
            (Row((Field(MODELS[str(row.model)].title), *ours)), Row((_under("published"), *theirs)))
        )
    return Table(
        title=f"Table 3. {printed.caption}",
        caption=f"First line of each model: the shipped suite files; below it as published ({SOURCE}).",
        columns=(Column("Model", "left"), *(Column(RULES[str(rule)].title) for rule in printed.columns)),
        groups=tuple(Group(DATASETS[name].title, tuple(rows)) for name, rows in groups.items()),
        notes=footnotes.notes(),
        numbers=tuple(numbers),
        metric="initial learning rate",
        unit="1",
    )


Deviating = dict[tuple[str, str], dict[tuple[str, str], Configuration]]
"""By (data set, model): configurations by (rule, what sets them apart)."""


@dataclass(frozen=True)
class _Lines:
    """Lays out Table 1: for each model its measured, n, published and difference lines, then what deviates."""

    printed: PublishedTable
    exact: Mapping[Key, Configuration]
    deviating: Deviating
    footnotes: Footnotes
    usual: int

    def by_dataset(self) -> Iterable[tuple[str, list[Row]]]:
        groups: dict[str, list[Row]] = {}
        for row in self.printed.rows:
            groups.setdefault(str(row.dataset), []).extend(self._of_model(row))
        return groups.items()

    def _of_model(self, row: PublishedRow) -> Iterable[Row]:
        keyed = _keyed(self.printed, row)
        summaries = [self.exact[key].summary if key in self.exact else None for key, _ in keyed]
        stub = Field(MODELS[str(row.model)].title)
        yield Row((stub, *(measured_field(summary, self.footnotes) for summary in summaries)))
        yield from counts_row(summaries, usual=self.usual)
        yield Row((_under("published"), *(Field(f"{value:.2f}", emphasis="faint") for _, value in keyed)))
        if any(summary and summary.n for summary in summaries):
            pairs = zip(summaries, (value for _, value in keyed), strict=True)
            yield Row((_under("difference"), *(_difference(summary, value) for summary, value in pairs)))
        yield from self._of_deviations(str(row.dataset), str(row.model))

    def _of_deviations(self, dataset: str, model: str) -> Iterable[Row]:
        by_rule = self.deviating.get((dataset, model), {})
        for what in dict.fromkeys(what for _, what in by_rule):
            found = [by_rule.get((str(rule), what)) for rule in self.printed.columns]
            stub = Field("deviating", (self.footnotes.mark(f"deviates from the suite: {what}"),), indent=1)
            blank = Field("")
            yield Row((stub, *(measured_field(c.summary, self.footnotes) if c else blank for c in found)))
            yield from counts_row([c.summary if c else None for c in found], usual=self.usual)


def _deviating(found: Mapping[str, Configuration], known: Mapping[Key, Reference]) -> Deviating:
    deviating: Deviating = {}
    for group, configuration in found.items():
        key = _key(configuration.cell)
        if key in known and known[key].cell.group != group and configuration.summary.of:
            what = ", ".join(differences(configuration.cell, known[key].cell))
            deviating.setdefault(key[:2], {})[key[2], what] = configuration
    return deviating


def _notes(exact: Mapping[Key, Configuration], known: Mapping[Key, Reference], metric: Metric) -> Iterable[Note]:
    if metric is not Metric.BEST:
        yield Note(f"The published numbers are taken as best test epochs, the measured ones {metric.described}.")
    if lacking := sum(c.without_metric for c in exact.values()):
        yield Note(
            f"{lacking} finished trainings have no {metric}: it needs examples held out for validation, which deviates "
            "from the paper. To train and show such cells:",
            commands=(
                "asapbench run cifar10 --set validation=5000",
                f"asapbench report --table 1 --metric {metric} --allow-deviations",
            ),
        )
    unfinished = {key: c for key, c in exact.items() if c.unfinished}
    if unfinished:
        states = Counter(state.replace("_", " ") for c in unfinished.values() for _, state in c.unfinished)
        suites = dict.fromkeys(known[key].suite for key in unfinished)
        counted = ", ".join(f"{count} {state}" for state, count in states.items())
        text = f"{_count(states.total(), 'training')} begun and not finished ({counted}). To go on:"
        yield Note(text, commands=(f"asapbench resume {' '.join(suites)}",))
    missing = [ref for key, ref in known.items() if key not in exact]
    if missing:
        yield Note(f'"{MISSING}": not measured yet. To fill:', commands=tuple(commands_to_fill(missing, known)))


def _left_out(
    found: Mapping[str, Configuration], known: Mapping[Key, Reference], outdated: int, allowed: bool
) -> Iterable[Note]:
    if not allowed and (count := sum(len(by_rule) for by_rule in _deviating(found, known).values())):
        verb = "deviates" if count == 1 else "deviate"
        text = f"{_count(count, 'configuration')} left out: {verb} from the shipped suites. To show:"
        yield Note(text, ("asapbench report --table 1 --allow-deviations",))
    if outdated:
        yield Note(f"{_count(outdated, 'result')} left out: measured under an earlier revision of the code.")


def commands_to_fill(missing: Iterable[Reference], known: Mapping[Key, Reference]) -> Iterable[str]:
    """`asapbench run` commands, as few as simple filters allow, that train the cells of `missing`."""
    rules_by_model: dict[str, dict[str, list[str]]] = {}
    for ref in missing:
        rules_by_model.setdefault(ref.suite, {}).setdefault(ref.cell.model.name, []).append(ref.cell.rule.name)
    for suite, by_model in rules_by_model.items():
        cells = [ref.cell for ref in known.values() if ref.suite == suite]
        all_models, all_rules = {c.model.name for c in cells}, {c.rule.name for c in cells}
        models_by_rules: dict[tuple[str, ...], list[str]] = {}
        for model, rules in by_model.items():
            models_by_rules.setdefault(tuple(rules), []).append(model)
        for names, models in models_by_rules.items():
            model = "" if set(models) == all_models else f" --only model={','.join(models)}"
            rule = "" if set(names) == all_rules else f" --only rule={','.join(names)}"
            yield f"asapbench run {suite}{model}{rule}"


def _numbers(
    printed: PublishedTable, exact: Mapping[Key, Configuration], deviating: Deviating, metric: Metric
) -> Iterable[Number]:
    for row in printed.rows:
        for key, value in _keyed(printed, row):
            summary = exact[key].summary if key in exact else None
            yield number(summary, names=key, metric=metric, published=value)
        others = deviating.get((str(row.dataset), str(row.model)), {})
        for (rule, what), configuration in others.items():
            value_or_none = printed.value(rule, dataset=row.dataset, model=row.model)
            key = (str(row.dataset), str(row.model), rule)
            yield number(configuration.summary, names=key, metric=metric, variant=what, published=value_or_none)


def _keyed(printed: PublishedTable, row: PublishedRow) -> list[tuple[Key, float]]:
    pairs = zip(printed.columns, row.values, strict=True)
    return [((str(row.dataset), str(row.model), str(rule)), value) for rule, value in pairs]


def _key(cell: Cell) -> Key:
    return cell.dataset.name, cell.model.name, cell.rule.name


def _caption(metric: Metric, summaries: list[Summary]) -> str:
    return (
        f"Test accuracy in percent {metric.described}; {spread_and_count(summaries)}. First line of each model: "
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


def _rate(rate: float) -> str:
    """3e-2, as the paper prints it."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _rate_number(key: Key, rate: float | None, value: float) -> Number:
    return Number(
        *key,
        variant="",
        measured=rate,
        sd=None,
        n=int(rate is not None),
        diverged=0,
        published=value,
        difference=None if rate is None else rate - value,
        metric="initial learning rate",
        unit="1",
    )
