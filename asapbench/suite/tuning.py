"""`[tune]` of a suite: the same search for every rule, on validation data, and the cells that it trains.

A study is one search, for one rule on one network and data set. Its trials are cells with values of the search space,
a budget of epochs and examples held out. Its finals are the suite's own cells with the values of the best trial: all
epochs, all training data, the suite's seeds, which no trial has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asapbench.suite.catalog import CATALOG
from asapbench.suite.cell import CHOICES, Cell, plain
from asapbench.suite.columns import settings
from asapbench.suite.grid import Impossible, Located, Report, impossible
from asapbench.suite.options import Option, Value, describe, nearest
from asapbench.suite.recipe import RECIPE, checked_learning_rate

SEARCH: dict[str, Option] = {
    option.name: option
    for option in (
        Option("trials", 1, "trials of each rule on each network and data set", minimum=1),
        Option(
            "validation", 1, "training examples that each trial holds out: the best trial is chosen on them", minimum=1
        ),
        Option("epochs", 0, "epochs of a trial; 0: those of the grid", minimum=0),
        Option(
            "sampler",
            "quasi-random",
            "scrambled Sobol points, or Optuna's tree-structured Parzen estimator, which learns from earlier trials",
            choices=("quasi-random", "tpe"),
        ),
        Option(
            "pruner",
            "none",
            "what ends trials early, by Optuna: below the median of earlier ones that were not pruned, or Hyperband",
            choices=("none", "median", "hyperband"),
        ),
        Option("batch", 4, "trials of a study that start together, where later ones depend on earlier ones", minimum=1),
        Option("seed", 1000, "of the sampler and of the trials; study n has this seed plus n - 1", minimum=0),
        Option("studies", 1, "independent searches for each rule on each network and data set", minimum=1),
    )
}
"""The keys of `[tune]` beside `space`, by name."""

REQUIRED = ("trials", "validation")
"""The keys that have no default."""
_FIXED = (*CHOICES, "epochs", "validation", "precision", "augment", "normalization", "test_set", "seed", "seeds")
"""What the budget, the protocol or the machine decides, and what names a rule: the same for all trials of a study."""
_DIGITS = 3
"""Significant digits of a sampled number: more say nothing, and make labels long."""

Values = Mapping[str, Value]
"""A point of a search space, by the keys that `--set` takes: `lr`, `optimizer.weight_decay`, `rule.k`."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; uniform, or uniform in the logarithm. `whole`: integers."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def rounded(self, value: float) -> float | int:
        """`value` as a cell has it: a whole number, or three significant digits, inside of the range.

        >>> Range(1e-4, 1.0, log=True).rounded(0.0123456)
        0.0123
        """
        if self.whole:
            return int(min(max(round(value), self.low), self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def inside(self) -> Iterator[float | int]:
        """Values between the ends: at most 1,000 whole numbers, or the middle."""
        yield from range(int(self.low), int(self.high))[:1000] if self.whole else [(self.low + self.high) / 2]


@dataclass(frozen=True)
class Listed:
    """Values to choose from."""

    values: tuple[Value, ...]


Dimension = Range | Listed


@dataclass(frozen=True)
class Tuning:
    """A suite's `[tune]`: the space by key, in the order of the names, and the values of `SEARCH`."""

    space: Mapping[str, Dimension]
    trials: int
    validation: int
    epochs: int
    sampler: str
    pruner: str
    batch: int
    seed: int
    studies: int

    @property
    def is_sequential(self) -> bool:
        """Whether later trials depend on the results of earlier ones."""
        return self.sampler != "quasi-random" or self.pruner != "none"

    @property
    def fixed(self) -> object:
        """What must stay as it was when a search continues: everything but the numbers of trials and studies."""
        return replace(self, trials=0, studies=0)


@dataclass(frozen=True, eq=False)
class Study:
    """One search. `published` is a cell of the suite, `seeds` are those of its group; `number` counts from 1."""

    tuning: Tuning
    published: Cell
    seeds: tuple[int, ...]
    number: int = 1

    @property
    def label(self) -> str:
        """How messages name it: `CIFAR-10 ResNet-18 ASAP`, and the number of a further study."""
        label = self.published.label.removesuffix(f" seed {self.published.seed}")
        return label if self.number == 1 else f"{label}, study {self.number}"

    @property
    def seed(self) -> int:
        """Of the sampler and of every trial."""
        return self.tuning.seed + self.number - 1

    @property
    def epochs(self) -> int:
        """The budget of a trial."""
        return self.tuning.epochs or self.published.epochs

    @property
    def space(self) -> dict[str, Dimension]:
        """The dimensions that this rule, optimizer and schedule have."""
        own = settings(self.published)
        return {key: dimension for key, dimension in self.tuning.space.items() if key in own}

    @property
    def place(self) -> str:
        """What all trials of the study share, and no trial of another rule, network or data set."""
        return self.trial({key: _first(dimension) for key, dimension in self.space.items()}).group

    def trial(self, values: Values) -> Cell:
        """The cell of a trial with these values."""
        held_out = self.tuning.validation
        base = replace(self.published, epochs=self.epochs, validation=held_out, test_set=False, seed=self.seed)
        return with_values(base, values)

    def has(self, cell: Cell) -> bool:
        """Whether a cell is a trial of this study, of any values."""
        names = [getattr(cell, kind).name == getattr(self.published, kind).name for kind in CHOICES]
        return all(names) and cell.id == self.trial(self.values(cell)).id

    def values(self, cell: Cell) -> dict[str, Value]:
        """The values of the space's keys in a cell of the same rule."""
        own = settings(cell)
        return {key: own[key] for key in self.space if key in own}

    def finals(self, values: Values) -> list[Cell]:
        """The suite's cells of this study with these values, one for each seed."""
        chosen = with_values(self.published, values)
        return [chosen.with_seed(seed) for seed in self.seeds]

    def faults(self, values: Values) -> Iterator[tuple[str, Impossible]]:
        """Why these values cannot be those of a trial or of finals, with the word for which."""
        for kind, cell in (("a trial", self.trial(values)), ("finals", self.finals(values)[0])):
            if fault := impossible(cell):
                yield kind, fault

    @property
    def published_cells(self) -> list[Cell]:
        """The suite's own cells, at published values."""
        return [self.published.with_seed(seed) for seed in self.seeds]


def studies(tuning: Tuning, cells: Sequence[Cell]) -> list[Study]:
    """The studies of a suite with these cells, all first ones before all second ones."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.group, []).append(cell)
    return [
        Study(tuning, members[0], tuple(cell.seed for cell in members), number)
        for number in range(1, tuning.studies + 1)
        for members in groups.values()
    ]


def trials_name(suite: str, number: int = 1) -> str:
    """The name under which the database lists the trials of study `number`, as in `mine.trials`, `mine.trials2`."""
    return f"{suite}.trials{number if number > 1 else ''}"


def finals_name(suite: str, number: int = 1) -> str:
    """The name under which the database lists the finals of study `number`, as in `mine.tuned`, `mine.tuned2`."""
    return f"{suite}.tuned{number if number > 1 else ''}"


def with_values(cell: Cell, values: Values) -> Cell:
    """`cell` with these values. Raises ValueError for one that its entry does not allow.

    >>> from asapbench.suite.load import load
    >>> cell = next(cell for cell in load("quickstart").cells if cell.rule.name == "asap")
    >>> changed = with_values(cell, {"lr": 0.02, "rule.k": 2})
    >>> changed.lr, changed.rule["k"]
    (0.02, 2)
    """
    changes: dict[str, Any] = {}
    for key, value in values.items():
        kind, dot, option = key.partition(".")
        if dot:
            choice = changes.get(kind, getattr(cell, kind))
            changes[kind] = CATALOG[kind][choice.name].with_options(choice, **{option: value})
        else:
            changes[key] = value
    return replace(cell, **changes)


def read(table: Mapping[str, Any], cells: Sequence[Cell], report: Report) -> Tuning | None:
    """The `[tune]` of a suite with these cells; problems go to `report`, and None is returned where there are any."""
    faults: list[str] = []

    def add(path: tuple[str | int, ...], message: str) -> None:
        faults.append(message)
        report(("tune", *path), message)

    for key in table:
        if key not in SEARCH and key != "space":
            add((key,), f'unknown key "{key}"{nearest(key, (*SEARCH, "space"))}')
    found: dict[str, Any] = {name: option.default for name, option in SEARCH.items()}
    for name, option in SEARCH.items():
        if name not in table and name in REQUIRED:
            add((), f"[tune] needs {name} = ...: {option.help}")
        elif name in table:
            found |= _taken(name, table[name], option.checked, add)
    space = table.get("space")
    if not isinstance(space, dict) or not space:
        add(
            ("space",) if space is not None else (),
            "[tune.space] needs a key, as in lr = { low = 1e-3, high = 1.0, log = true }",
        )
        return None
    dimensions = {key: _dimension(key, one, cells, add) for key, one in _flat(space).items()}
    if faults or not cells:
        return None
    # Sobol's dimensions go by the order of the keys: that of the file must not matter.
    tuning = Tuning(space={key: one for key, one in sorted(dimensions.items()) if one is not None}, **found)
    places = dict[tuple[str | int, ...], str]()
    for path, message in conflicts(tuning, cells):
        places.setdefault(path, message)  # the same key is often at fault for many rules
    for path, message in places.items():
        add(path, message)
    return None if faults else tuning


def _taken(name: str, value: object, checked: Callable[[object], Value], add: Report) -> dict[str, Value]:
    try:
        return {name: checked(value)}
    except ValueError as error:
        add((name,), str(error))
        return {}


def _flat(space: Mapping[str, Any]) -> dict[str, Located]:
    """The space by key: TOML makes a table of `rule.k = [1, 2]`, and a key of `"rule.k" = [1, 2]`."""
    found: dict[str, Located] = {}
    for key, value in space.items():
        if key in CHOICES and isinstance(value, dict):
            found |= {f"{key}.{option}": Located(one, ("space", key, option)) for option, one in value.items()}
        else:
            found[key] = Located(value, ("space", key))
    return found


def _dimension(key: str, located: Located, cells: Sequence[Cell], add: Report) -> Dimension | None:
    """What a key may be, checked against every entry that has it."""
    if not _is_tunable(key):
        add(located.path, f"{key} cannot be tuned: it is the same for all trials")
        return None
    found = list(_checks(key, cells))
    if not found:
        known = dict.fromkeys(name for cell in cells for name in settings(cell) if _is_tunable(name))
        add(located.path, f'no rule, optimizer or schedule here has "{key}"{nearest(key, known)}')
        return None
    if isinstance(located.value, dict):
        return _range(key, located, found, add)
    items, values = located.items(), list[Value]()
    for item in items:
        try:
            checked = [check(item.value) for check in found]
            values.append(checked[0])
        except ValueError as error:
            add(item.path, str(error))
    if not items:
        add(located.path, f"{key} needs at least one value")
    return Listed(tuple(dict.fromkeys(values))) if items and len(values) == len(items) else None


def _is_tunable(key: str) -> bool:
    return key not in _FIXED and key.partition(".")[0] not in ("dataset", "model")


def _range(key: str, located: Located, found: Sequence[Callable[[object], Value]], add: Report) -> Range | None:
    table, path = located.value, located.path
    if unknown := sorted(table.keys() - {"low", "high", "log"}):
        add((*path, unknown[0]), f'a range has low, high and log, not "{unknown[0]}"')
        return None
    if not {"low", "high"} <= table.keys() or not isinstance(table.get("log", False), bool):
        add(path, "a range needs low and high, as in { low = 1e-3, high = 1.0, log = true }; log is true or false")
        return None
    ends: list[Value] = []
    for end in ("low", "high"):
        try:
            checked = [check(table[end]) for check in found]
            ends.append(checked[0])
        except ValueError as error:
            add((*path, end), str(error))
            return None
    low, high = ends
    is_log = bool(table.get("log", False))
    if isinstance(low, bool | str) or isinstance(high, bool | str):
        add(path, f"{key} is no number: list its values, as in [{describe(low)}]")
    elif low >= high:
        add(path, f"low {plain(low)} must be less than high {plain(high)}")
    elif is_log and low <= 0:
        add((*path, "low"), f"a logarithmic range must begin above 0, not at {plain(low)}")
    else:
        dimension = Range(low, high, is_log, whole=isinstance(low, int))
        try:
            for value in dimension.inside():
                _ = [check(value) for check in found]
        except ValueError as error:
            add(path, f"{error}: list the values of {key}")
            return None
        return dimension
    return None


def _checks(key: str, cells: Sequence[Cell]) -> Iterator[Callable[[object], Value]]:
    """How a value of this key is checked, once for each entry of the cells that has it."""
    kind, dot, option = key.partition(".")
    if key == "lr":
        yield checked_learning_rate
    elif not dot and key in RECIPE:
        yield RECIPE[key].checked
    elif dot and kind in CHOICES:
        for name in dict.fromkeys(getattr(cell, kind).name for cell in cells):
            entry = CATALOG[kind][name]
            if option in {one.name for one in entry.options}:
                yield entry.option(option).checked


def conflicts(tuning: Tuning, cells: Sequence[Cell]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a search for these cells: the key at fault, in `[tune]`, and a message."""
    every = studies(tuning, cells)
    if both := next((study for study in every if study.seed in study.seeds), None):
        text = f"seed {both.seed} is also a seed of the grid: finals need seeds that no trial had"
        yield ("seed",) if both.number == 1 else ("studies",), text
    places: dict[tuple[str, int], Study] = {}
    for study in every:
        if not study.space:
            yield ("space",), f"{study.label}: none of these keys is a setting of it"
        elif (other := places.setdefault((study.place, study.number), study)) is not study:
            key = _difference(study, other)
            path = ("space", key) if key in study.space else (key,)
            yield path, f"the grid has several values of {key} for {other.label}: leave it one"
        elif not study.published.test_set:
            yield (), f"{study.label}: test_set = false in the grid: finals need test accuracy: leave it out"
        elif held_out := study.published.validation:
            text = f"validation {held_out} in the grid: finals train on all data: set it in [tune] alone"
            yield ("validation",), f"{study.label}: {text}"
        elif 0 < (points := _size(study.space)) < tuning.trials:
            yield ("trials",), f"{study.label}: its space has {points} points: take fewer trials"
        else:
            yield from _untrainable(study)


def _difference(study: Study, other: Study) -> str:
    """The first setting in which the suite's cells of two studies differ."""
    ours, theirs = settings(study.published), settings(other.published)
    return next(key for key, value in ours.items() if key != "seed" and theirs.get(key) != value)


def _size(space: Mapping[str, Dimension]) -> int:
    """The number of points of a space of lists and whole numbers; 0 where it has other numbers."""
    return math.prod(map(_points_of, space.values()))


def _points_of(dimension: Dimension) -> int:
    if isinstance(dimension, Listed):
        return len(dimension.values)
    return int(dimension.high - dimension.low) + 1 if dimension.whole else 0


_CAUSES = {"warmup": "epochs", "schedule": "epochs", "batch_size": "validation", "dataset": "validation"}
"""Where a trial cannot be trained but the suite's own cell can: the key of `[tune]` that has made the difference."""


def _untrainable(study: Study) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The first end or listed value of a dimension with which a trial, or the finals, cannot be trained."""
    base = {key: _first(dimension) for key, dimension in study.space.items()}
    for key, dimension in study.space.items():
        for value in dimension.values if isinstance(dimension, Listed) else (dimension.low, dimension.high):
            for what, fault in study.faults(base | {key: value}):
                kind = fault.key.partition(".")[0]
                path = ("space", key) if kind in (key, key.partition(".")[0]) else (_CAUSES.get(kind, kind),)
                yield path, f"{what} of {study.label}: {fault.message}"
                return


def _first(dimension: Dimension) -> Value:
    return dimension.values[0] if isinstance(dimension, Listed) else dimension.low
