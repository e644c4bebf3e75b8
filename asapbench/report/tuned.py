"""`report --tuned`: what tuning with one budget for all rules gives, beside the suite's published settings.

A row is a rule on one network and data set. Trials are compared by validation accuracy alone; the accuracies that a row
shows are those of trainings on all training data, under seeds that no trial had.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean, median
from typing import TYPE_CHECKING

from asapbench.analysis.comparison import Interval
from asapbench.analysis.trials import Trial, best_of, is_complete, search_of, trials_of
from asapbench.errors import AsapbenchError
from asapbench.report.best import Best, best, strong, why_none
from asapbench.report.configuration import (
    MISSING,
    Configuration,
    configurations,
    counted,
    faint,
    lacking_metric,
    measured_field,
    names,
    number,
)
from asapbench.report.quantity import Metric
from asapbench.report.recorded import to_run
from asapbench.report.statistics import Spread, Summary, differences, spread_and_count
from asapbench.report.table import Column, Field, Footnotes, Note, Number, Row, Table, grouped, numeric
from asapbench.suite.cell import Cell, plain, title
from asapbench.suite.columns import differing, field_text, settings
from asapbench.suite.options import Value
from asapbench.suite.tuning import Listed, Study, finals_name, studies

if TYPE_CHECKING:
    from asapbench.report.recorded import RecordedSuite
    from asapbench.store import Store

_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class TunedNumber(Number):
    """The accuracy of a rule at tuned values beside that at published ones, `published_values`.

    `trials`, `trial_epochs` and `trial_hours` are what the search took; `validation` is the best trial's accuracy in
    percent. `low` and `high` are the ends of the 95 % interval of the paired `difference`, tuned minus published.
    """

    IN_UNIT = (*Number.IN_UNIT, "validation", "low", "high")

    study: int
    values: str
    validation: float | None
    published_values: str
    trials: int
    trial_epochs: int
    trial_hours: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Tuned:
    """One study with its trials, its finals, and the trainings at published values; each None before the first.

    The study has the number of trials that its search had. `others` are cells at further published values.
    """

    study: Study
    trials: tuple[Trial, ...]
    published: Configuration | None
    finals: Configuration | None
    others: tuple[Cell, ...] = ()

    @property
    def cell(self) -> Cell:
        """One of the suite's own cells."""
        return self.study.published

    @property
    def best(self) -> Trial | None:
        """The chosen trial, once all have ended."""
        return best_of(self.trials) if is_complete(self.study, self.trials) else None

    @property
    def differences(self) -> tuple[float, ...]:
        """Tuned minus published accuracy, by seed."""
        if self.finals is None or self.published is None:
            return ()
        return tuple(differences(self.finals.summary, self.published.summary).values())

    @property
    def epochs(self) -> int:
        """Epochs of all trials."""
        return sum(len(trial.seconds) for trial in self.trials)

    @property
    def hours(self) -> float:
        """Hours of training of all trials, on one slot."""
        return sum(chain.from_iterable(trial.seconds for trial in self.trials)) / _HOUR


def read_tuned(store: Store, known: RecordedSuite, metric: Metric) -> list[Tuned]:
    """The studies of a suite that have trials. Raises AsapbenchError where it has no `[tune]`, or no trial yet."""
    if known.file is None or known.file.tuning is None:
        raise AsapbenchError(f'--tuned {known.name}: suite "{known.name}" has no [tune]; see --suite')
    if found := tuned_of(store, known, metric):
        return found
    command = f"asapbench tune {shlex.quote(to_run(known, known.name))}"
    raise AsapbenchError(f"--tuned {known.name}: no trial is recorded yet. To begin: {command}")


def tuned_of(store: Store, known: RecordedSuite, metric: Metric) -> list[Tuned]:
    """The studies of a suite that have trials; none where it has no `[tune]`."""
    if known.file is None or known.file.tuning is None:
        return []
    recorded = store.suite_outcomes(known.name)
    own = configurations(recorded.outcomes, metric)
    asked = search_of(store, known.name, source=known.file.source) or known.file.tuning
    every = studies(asked, recorded.cells)
    lists = {finals_name(known.name, study.number) for study in every} & {record.name for record in store.suites()}
    of_lists = [store.suite_outcomes(name) for name in sorted(lists)]
    listed = {cell.group for one in of_lists for cell in one.cells}
    chosen = configurations([one for found in of_lists for one in found.outcomes], metric)
    groups, found = {cell.group for cell in known.file.cells}, list[Tuned]()
    for study, others in _one_of_each(every, groups):
        trials = tuple(trial for _, trial in trials_of(store, known.name, study))
        if trials:
            as_trained = _as_trained(study, trials, listed)
            one = Tuned(as_trained, trials, own.get(study.published.group), None, others)
            final = study.finals(one.best.values)[0] if one.best else None
            found.append(replace(one, finals=chosen.get(final.group)) if final else one)
    return found


def _one_of_each(every: Sequence[Study], groups: Collection[str]) -> Iterator[tuple[Study, tuple[Cell, ...]]]:
    """Of the studies with the same trials the one whose published cells are of these groups, else the newest.

    The same search may have stood beside several published values, one after the other: those of the others, too.
    """
    same: dict[tuple[str, int], list[Study]] = {}
    for study in every:
        same.setdefault((study.place, study.number), []).append(study)
    for members in same.values():
        shown = next((study for study in members if study.published.group in groups), members[-1])
        yield shown, tuple(study.published for study in members if study is not shown)


def _as_trained(study: Study, trials: Sequence[Trial], listed: Collection[str]) -> Study:
    """The study with the number of trials that its search had: `tune --trials` may have changed it.

    A search that learns nothing from its trials lists all of them at once. Another one has ended when the finals of its
    best trial are `listed`, by their group.
    """
    number, best = len(trials), best_of(trials)
    has_finals = best is not None and study.finals(best.values)[0].group in listed
    wanted = number if has_finals or not study.tuning.is_sequential else max(number, study.tuning.trials)
    return replace(study, tuning=replace(study.tuning, trials=wanted))


def tuned_table(
    known: RecordedSuite,
    tuned: Sequence[Tuned],
    *,
    heading: str,
    metric: Metric,
    spread: Spread = Spread.SD,
    notes: Sequence[Note] = (),
) -> Table:
    """A row for each study; of several studies of a rule the median stands above them."""
    footnotes = Footnotes()
    groups: dict[str, list[Tuned]] = {}
    for one in tuned:
        groups.setdefault(place_of(one.cell), []).append(one)
    rows, marked = [], []
    for place, members in groups.items():
        marked.append(best([_finals(one) for one in members]))
        rows.append((place, list(_rows(members, marked[-1], footnotes, spread))))
    shown = [one.finals.summary for one in tuned if one.finals]
    tuning = tuned[0].study.tuning
    keys = ", ".join(tuning.space)
    return Table(
        name=known.name,
        title=f"{heading}: tuned and as published",
        caption=(
            f"Test accuracy in percent {metric.described}; {spread_and_count(shown, spread=spread)}. Tuned: the values "
            f"of {keys} with the highest validation accuracy of {_budget(tuned)} "
            f"({tuning.sampler}), trained again on all training data under seeds that no trial had. Difference: tuned "
            f"minus as published, by seed, with its {Interval.T.described}. Trials, epochs and hours of training: "
            f"what each search took. Below each number: the value of {keys}.{why_none(marked)}"
        ),
        columns=(
            Column("Rule", "left"),
            Column("as published"),
            Column("tuned"),
            Column("difference"),
            Column("trials"),
            Column("epochs"),
            Column("hours"),
        ),
        groups=grouped(rows),
        notes=(
            *footnotes.notes(),
            *notes,
            *(note for members in groups.values() for note in _order(members)),
            *_left_out(tuned),
            *_unfinished(known, tuned),
            *lacking_metric((one.finals for one in tuned if one.finals), metric),
        ),
        numbers=tuple(_number(one, metric) for one in tuned),
        strong=strong(marked, of="column"),
    )


def labels(members: Sequence[Tuned]) -> list[str]:
    """The rule of each, and in what else the cells of one place differ, other than in what was tuned."""
    cells = [one.cell for one in members]
    tuned = {key.partition(".")[0] for one in members for key in one.study.space}
    fields = [field for field in differing(cells) if field not in tuned and field != "model"]
    return [", ".join([title("rule", cell.rule), *(field_text(cell, field) for field in fields)]) for cell in cells]


def place_of(cell: Cell) -> str:
    """Data set and model: the header of a group of rows."""
    return f"{title('dataset', cell.dataset)}, {title('model', cell.model)}"


def _finals(one: Tuned) -> Summary | None:
    return None if one.finals is None else one.finals.summary


def _rows(members: Sequence[Tuned], marked: Best, footnotes: Footnotes, spread: Spread) -> Iterator[Row]:
    tuned = marked.shown([measured_field(_finals(one), footnotes, spread) for one in members])
    by_label: dict[str, list[tuple[Tuned, Field]]] = {}
    for label, one, field in zip(labels(members), members, tuned, strict=True):
        by_label.setdefault(label, []).append((one, field))
    for label, studies_of_label in by_label.items():
        is_several = len(studies_of_label) > 1
        if is_several:
            yield _median_row(label, [one for one, _ in studies_of_label])
        for one, field in studies_of_label:
            stub = Field(f"study {one.study.number}", indent=1) if is_several else Field(label)
            before = measured_field(one.published.summary if one.published else None, footnotes, spread)
            cost = _trials(one, footnotes), Field(f"{one.epochs}"), numeric("{:.2f}", one.hours)
            yield Row((stub, before, field, _difference(one.differences), *cost))
            published = Field(_values(one.study.values(one.cell)), emphasis="faint")
            keys = faint(", ".join(one.study.space))
            yield Row((keys, published, _chosen(one, footnotes), *[Field("")] * 4))


def _median_row(label: str, members: Sequence[Tuned]) -> Row:
    """The median over studies of the mean accuracy of each."""
    means = [one.finals.summary.mean for one in members if one.finals and one.finals.summary.mean is not None]
    changes = [fmean(one.differences) for one in members if one.differences]
    shown = (
        Field(f"{label}, median of {len(members)} studies"),
        Field(""),
        numeric("{:.2f}", median(means)) if means else Field(MISSING, emphasis="faint"),
        numeric("{:+.2f}", median(changes)) if changes else Field(""),
    )
    return Row((*shown, *[Field("")] * 3))


def _difference(values: Sequence[float]) -> Field:
    if not values:
        return Field(MISSING, emphasis="faint")
    interval = Interval.T.of(values)
    ends = () if interval is None else interval
    return numeric("{:+.2f} ({:+.2f} to {:+.2f})" if ends else "{:+.2f}", fmean(values), *ends)


def _values(values: Mapping[str, Value]) -> str:
    return ", ".join(plain(value) for value in values.values())


def _chosen(one: Tuned, footnotes: Footnotes) -> Field:
    if one.best is None:
        is_over = is_complete(one.study, one.trials)
        marks = (footnotes.mark("every trial diverged, or was ended early or discarded"),) if is_over else ()
        return Field(MISSING, marks, emphasis="faint")
    return Field(_values(one.best.values), tuple(map(footnotes.mark, edges(one))), emphasis="faint")


def edges(one: Tuned) -> Iterator[str]:
    """Which chosen numbers are the smallest or largest that were tried, diverged ones too: the space may end early."""
    assert one.best is not None
    for key, dimension in one.study.space.items():
        value, tried = one.best.values[key], {trial.values[key] for trial in one.trials if trial.end != "waiting"}
        numbers = sorted({value for value in tried if isinstance(value, int | float) and not isinstance(value, bool)})
        if isinstance(dimension, Listed) and len(dimension.values) < 3:
            continue  # of two values each is an end
        if len(numbers) > 2 and value in (numbers[0], numbers[-1]):
            word = "smallest" if value == numbers[0] else "largest"
            yield f"{key} {plain(value)} is the {word} of the values tried: a {word[:-3]}er one may be better"


def _trials(one: Tuned, footnotes: Footnotes) -> Field:
    ends = {"diverged": "diverged", "left": "ended early or discarded", "waiting": "not finished"}
    counts = {text: sum(trial.end == end for trial in one.trials) for end, text in ends.items()}
    remarks = ", ".join(f"{number} {text}" for text, number in counts.items() if number)
    marks = (footnotes.mark(f"{remarks} of {len(one.trials)}"),) if remarks else ()
    return Field(f"{len(one.trials)}", marks)


def _order(members: Sequence[Tuned]) -> Iterator[Note]:
    """How tuning changes the order of the rules of one place, where each has both numbers and one study."""
    means = {}
    for label, one in zip(labels(members), members, strict=True):
        before, after = (found.summary.mean if found else None for found in (one.published, one.finals))
        if before is not None and after is not None:
            means[label] = before, after
    if len(means) < max(len(members), 2):
        return
    published, tuned = (sorted(means, key=lambda label: -means[label][place]) for place in (0, 1))
    order = "the same order" if published == tuned else ", ".join(tuned)
    yield Note(f"{place_of(members[0].cell)}, best to worst. As published: {', '.join(published)}. Tuned: {order}.")


def _budget(tuned: Sequence[Tuned]) -> str:
    """`8 trials`, or `4 to 8 trials` where the searches differ."""
    numbers = sorted({one.study.tuning.trials for one in tuned})
    return counted(numbers[0], "trial") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} trials"


def _left_out(tuned: Sequence[Tuned]) -> Iterator[Note]:
    """The further published values of a search that has one row."""
    for one in tuned:
        shown = settings(one.cell)
        for cell in one.others if one.study.number == 1 else ():
            changed = [f"{key} {plain(value)}" for key, value in settings(cell).items() if shown.get(key) != value]
            values = ", ".join(text for text in changed if not text.startswith("seed "))
            yield Note(f"Left out, as the search is the same: {one.study.label} as published with {values}.")


def _unfinished(known: RecordedSuite, tuned: Sequence[Tuned]) -> Iterator[Note]:
    """How much is not finished, and the command that continues."""
    searches = sum(not is_complete(one.study, one.trials) for one in tuned)
    wanted = sum(len(one.study.seeds) for one in tuned if one.best is not None)
    finals = wanted - sum(one.finals.summary.ended for one in tuned if one.finals)
    parts = [f"trials of {searches} of {len(tuned)} studies"] if searches else []
    parts += [f"{finals} of {wanted} finals"] if finals else []
    if parts:
        yield Note(f"Not finished: {' and '.join(parts)}. To continue:", (_command(known, tuned),))


def _command(known: RecordedSuite, tuned: Sequence[Tuned]) -> str:
    """What continues the search, with as many trials as it had."""
    own = known.file.tuning if known.file is not None else None
    numbers = {one.study.tuning.trials for one in tuned}
    is_changed = own is not None and len(numbers) == 1 and numbers != {own.trials}
    changed = [word for number in numbers for word in ("--trials", str(number))] if is_changed else []
    return shlex.join(["asapbench", "tune", to_run(known, known.name), *changed])


def _number(one: Tuned, metric: Metric) -> TunedNumber:
    cell = one.study.finals(one.best.values)[0] if one.best else one.cell
    before = one.published.summary.mean if one.published else None
    whole = number(_finals(one), names=names(cell), metric=metric, published=before)
    interval = Interval.T.of(one.differences)
    return TunedNumber(
        **vars(replace(whole, difference=fmean(one.differences) if one.differences else None)),
        low=interval[0] if interval else None,
        high=interval[1] if interval else None,
        study=one.study.number,
        values=_values(one.best.values) if one.best else "",
        validation=100 * one.best.reached if one.best else None,
        published_values=_values(one.study.values(one.cell)),
        trials=len(one.trials),
        trial_epochs=one.epochs,
        trial_hours=one.hours,
    )
