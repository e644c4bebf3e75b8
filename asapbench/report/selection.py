"""One value of a swept setting, chosen for each rule on validation accuracy. Test data take no part in the choice.

The cells of one data set, model, rule and all settings but the selected ones are the candidates of one place in a
report. The candidate with the highest validation accuracy, averaged over its seeds, stands for that place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from asapbench.errors import SuiteError
from asapbench.report.commands import run_with_validation
from asapbench.report.configuration import Configuration, configurations, counted
from asapbench.report.quantity import Metric
from asapbench.report.statistics import Summary
from asapbench.report.table import Note
from asapbench.store import Outcome
from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import CHOICES, Cell, plain
from asapbench.suite.columns import settings
from asapbench.suite.load import Suite
from asapbench.suite.options import Value
from asapbench.suite.recipe import RECIPE

if TYPE_CHECKING:
    from asapbench.store import Store

DIVERGED, NOT_FINISHED = "with a diverged training", "not finished"
"""Why a candidate takes no part."""

_EPOCHS = {Metric.LAST: "at the last epoch", Metric.BEST_VAL: "at the best validation epoch"}
"""By metric, the epoch whose validation accuracy decides: the one whose test accuracy is shown."""

_NEVER = ("dataset", "model", "rule", "seed", "validation")
"""What a choice by validation accuracy makes no sense for: what is compared, and what decides the validation data."""


@dataclass(frozen=True)
class Chosen:
    """The chosen candidate of a place, `tried` of how many values were compared.

    `edge` names the settings whose chosen value is the smallest or largest one tried, in words; empty where none is.
    `left_out` are the candidates that could not be compared, in words.
    """

    configuration: Configuration
    values: tuple[Value | None, ...]
    tried: int
    edge: str = ""
    left_out: str = ""

    @property
    def cell(self) -> Cell:
        """One of its cells."""
        return self.configuration.cell

    @property
    def text(self) -> str:
        """`0.03 of 5`, of several keys `(0.03, 4) of 10`; without the keys that its rule does not have."""
        own = [plain(value) for value in self.values if value is not None]
        values = f"({', '.join(own)})" if len(own) > 1 else "".join(own)
        return f"{values} of {self.tried}" if own else ""


@dataclass(frozen=True)
class Selection:
    """What was chosen, by the group of the `cells` that stand for the places: cells with a neutral value of each key.

    `impossible` says, by group, why there is no choice. `without_validation` are cells of places that are not shown,
    because a candidate has no validation accuracy. `like` has the neutral values.
    """

    keys: tuple[str, ...]
    like: Cell
    cells: tuple[Cell, ...]
    chosen: Mapping[str, Chosen]
    impossible: Mapping[str, str]
    without_validation: tuple[Cell, ...]

    @property
    def found(self) -> dict[str, Configuration]:
        """The chosen configurations by the group of their place."""
        return {group: one.configuration for group, one in self.chosen.items()}

    def explained(self, metric: Metric, *, where: str = "Below each number") -> str:
        """For a caption: what the chosen values are that stand at `where`."""
        keys = " and ".join(self.keys)
        return (
            f" {where}: the value of {keys} with the highest validation accuracy {_EPOCHS[metric]} (mean "
            "over seeds), and of how many it was chosen."
        )

    def file(self, file: Suite) -> Suite:
        """The suite file with neutral values, to compare the places with."""
        return replace(file, cells=tuple(neutral(cell, self.keys, self.like) for cell in file.cells))


def keys_of(text: str, known: Collection[str]) -> tuple[str, ...]:
    """The settings that `text` names, with commas between them, as in `lr` or `lr,rule.k`.

    Raises SuiteError for a setting that is not among the `known`, which were swept.
    """
    keys = tuple(dict.fromkeys(key.strip() for key in text.split(",") if key.strip()))
    if not keys:
        raise SuiteError("--select: name what was swept, as in --select lr or --select lr,rule.k")
    for key in keys:
        kind = key.partition(".")[0]
        if key in _NEVER or kind == "dataset":
            raise SuiteError(f"--select {key}: this is compared, not chosen; choose among cells with --only")
        if key not in known:
            listed = ", ".join(known) or "nothing"
            raise SuiteError(f"--select {key}: no rule has several values of it here (swept: {listed})")
    return keys


def swept(cells: Iterable[Cell]) -> list[str]:
    """The settings that have several values among cells of one data set, model and rule, by their names alone."""
    values: dict[tuple[str, ...], dict[str, set[Value]]] = {}
    for cell in {cell.group: cell for cell in cells}.values():
        place = values.setdefault((cell.dataset.name, cell.model.name, cell.rule.name), {})
        for key, value in settings(cell).items():
            place.setdefault(key, set()).add(value)
    several = (key for place in values.values() for key, found in place.items() if len(found) > 1)
    return [key for key in dict.fromkeys(several) if key not in _NEVER and not key.startswith("dataset.")]


def neutral(cell: Cell, keys: Sequence[str], like: Cell) -> Cell:
    """`cell` with the value of each key that it shares with all others: an option's default, else that of `like`.

    It stands for a place in a report and is never trained.
    """
    changes: dict[str, Any] = {}
    for key in keys:
        kind, dot, option = key.partition(".")
        if not dot:
            changes[key] = getattr(like, key)
        elif kind in CHOICES:
            choice = changes.get(kind, getattr(cell, kind))
            default = {one.name: one.default for one in CATALOG[kind][choice.name].options}
            kept = tuple((name, default[name] if name == option else value) for name, value in choice.options)
            changes[kind] = replace(choice, options=kept)
    return replace(cell, **changes)


def select(
    cells: Sequence[Cell],
    results: Sequence[Outcome],
    keys: Sequence[str],
    *,
    metric: Metric,
    validation: Mapping[str, float],
) -> Selection:
    """The choice for each place that has a result. `validation` has accuracies by lineage, at the metric's epoch.

    Raises SuiteError for the metric that chooses the epoch on test data.
    """
    if metric not in _EPOCHS:
        raise SuiteError("--select: --metric best chooses the epoch on test data; use --metric last or best-val")
    found = configurations(results, metric)
    accuracy = {r.cell.id: validation[r.attempt.lineage] for r in results if r.attempt.lineage in validation}
    places: dict[str, tuple[Cell, dict[str, list[Cell]]]] = {}
    for cell in cells:
        place = neutral(cell, keys, cells[0])
        _, candidates = places.setdefault(place.group, (place, {}))
        candidates.setdefault(cell.group, []).append(cell)
    shown, chosen, impossible, without = [], {}, {}, []
    for group, (place, candidates) in places.items():
        made = [_candidate(members, found.get(one), keys, accuracy) for one, members in candidates.items()]
        if len(made) > 1 and any(one.configuration.summary.n and one.accuracy is None for one in made):
            without.append(place)
            continue
        shown.append(place)
        if best := _best(made, keys):
            chosen[group] = best
        else:
            impossible[group] = f"no value of {', '.join(keys)} can be compared: {_faults(made)}"
    return Selection(tuple(keys), cells[0], tuple(shown), chosen, impossible, tuple(without))


def read_selection(
    store: Store, cells: Sequence[Cell], results: Sequence[Outcome], keys: Sequence[str], *, metric: Metric, suite: str
) -> tuple[Selection | None, list[Note]]:
    """As `select`, with the accuracies that the store has; None where nothing can be chosen.

    The notes say what cannot be chosen, with the command that trains `suite` so that it can. Raises as `select`.
    """
    lineages = [result.attempt.lineage for result in results]
    validation = store.validation_accuracies(lineages, best=metric is Metric.BEST_VAL)
    found = select(cells, results, keys, metric=metric, validation=validation)
    lacking = found.without_validation
    if not lacking:
        return found, []
    can_choose = any(one.tried > 1 for one in found.chosen.values())
    rest = "they are left out of the table" if can_choose else "every value is listed"
    places = counted(len(lacking), "configuration")
    note = Note(
        f"--select {','.join(keys)} cannot choose for {places}: their trainings hold no examples out for validation, "
        f"and a choice on test data would be biased; {rest}. To train with validation data:",
        (run_with_validation(lacking, suite=suite),),
    )
    return (found if can_choose else None), [note]


@dataclass(frozen=True)
class _Candidate:
    """One value, or one of each key. `accuracy` is that on validation data, the mean over its finished seeds.

    `fault` says why it takes no part; empty where it does.
    """

    values: tuple[Value | None, ...]
    configuration: Configuration
    accuracy: float | None
    fault: str


def _candidate(
    members: Sequence[Cell], found: Configuration | None, keys: Sequence[str], accuracy: Mapping[str, float]
) -> _Candidate:
    configuration = found or Configuration(members[0], Summary())
    seeds, values = {cell.seed: cell for cell in members}, settings(members[0])
    done = [accuracy.get(seeds[seed].id) for seed in configuration.summary.seeds]
    known = [one for one in done if one is not None]
    is_finished = configuration.summary.ended == len(seeds)
    return _Candidate(
        tuple(values.get(key) for key in keys),
        configuration,
        fmean(known) if known and len(known) == len(done) else None,
        DIVERGED if configuration.diverged else "" if is_finished else NOT_FINISHED,
    )


def _best(candidates: Sequence[_Candidate], keys: Sequence[str]) -> Chosen | None:
    """The candidate of the highest accuracy without a fault, of equal ones the first; a single one needs no choice.

    None where there is none.
    """
    compared = candidates if len(candidates) == 1 else [one for one in candidates if not one.fault]
    if not compared:
        return None
    best = max(compared, key=lambda one: one.accuracy or 0.0)
    return Chosen(
        best.configuration,
        best.values,
        len(compared),
        edge=_edge(best, [one for one in candidates if one.fault != NOT_FINISHED], keys),
        left_out=f"left out of the choice: {faults}" if len(candidates) > 1 and (faults := _faults(candidates)) else "",
    )


def _edge(best: _Candidate, tried: Sequence[_Candidate], keys: Sequence[str]) -> str:
    """Which chosen numbers are the smallest or largest that were tried, a diverged one too, and could go further."""
    found = []
    for place, key in enumerate(keys):
        value, values = best.values[place], [one.values[place] for one in tried]
        numbers = sorted({one for one in values if isinstance(one, int | float) and not isinstance(one, bool)})
        if not isinstance(value, int | float) or isinstance(value, bool) or len(numbers) < 2:
            continue
        limits = _limits(best.configuration.cell, key)
        for end, word, limit in ((numbers[0], "smallest", limits[0]), (numbers[-1], "largest", limits[1])):
            if value == end != limit:
                found.append(f"{key} {plain(value)} is the {word} value tried: a {word[:-3]}er one may be better")
    return "; ".join(found)


def _limits(cell: Cell, key: str) -> tuple[Value | None, Value | None]:
    """The smallest and largest value that an option or a key of the recipe may have, where it has such."""
    kind, dot, name = key.partition(".")
    if dot:
        option = CATALOG[kind][getattr(cell, kind).name].option(name)
        return (min(option.choices), max(option.choices)) if option.choices else (option.minimum, None)
    return (RECIPE[key].minimum if key in RECIPE else None, None)


def _faults(candidates: Sequence[_Candidate]) -> str:
    counts = Counter(one.fault for one in candidates if one.fault)
    return ", ".join(f"{count} {fault}" for fault, count in counts.items())
