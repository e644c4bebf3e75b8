"""One `[[grid]]` of a suite -> cells: the product of its lists, each value checked against the catalog.

Every problem found is reported with its path in the file; nothing stops at the first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any, TypeVar

from asapbench.errors import DataError, SuiteError
from asapbench.suite import catalog
from asapbench.suite.cell import CHOICES, Cell
from asapbench.suite.options import Choice, Option, describe
from asapbench.suite.places import Path
from asapbench.suite.plugins import unknown
from asapbench.suite.recipe import RECIPE, checked_learning_rate, checked_seed

Report = Callable[[Path, str], None]
T = TypeVar("T")

MOST_CELLS = 100_000
"""The most cells of one grid. More is a typing error, and would fill the memory before an error could be printed."""

KEYS = (*CHOICES, "lr", "seeds", *RECIPE)
"""Everything that `[defaults]` and `[[grid]]` may hold."""


@dataclass(frozen=True)
class Located:
    """A value of the file and the path it stands at."""

    value: Any
    path: Path

    def items(self) -> list[Located]:
        """The value's items if it is a list, else itself."""
        if isinstance(self.value, list):
            return [Located(item, (*self.path, n)) for n, item in enumerate(self.value)]
        return [self]


Complete = Callable[[Choice], Choice]
"""Gives the choice of a data set what only its files can tell. Raises DataError."""


def data_of_files(folder: FilePath = FilePath(), path: str | None = None) -> Complete:
    """Reads the data at a suite's path, relative to `folder`; `path`, relative to the working folder, replaces it."""

    def complete(choice: Choice) -> Choice:
        entry = catalog.DATASETS[choice.name]
        if path is None or not entry.reads_a_path:
            return entry.completed(choice, folder=folder)
        return entry.completed(entry.choose(entry.given(choice) | {"path": path}), folder=FilePath())

    return complete


def data_of_cells(cells: Callable[[], Iterable[Cell]] = tuple) -> Complete:
    """The data of recorded cells: those of the same settings, and of the same path's last part if there are such.

    A text that a database holds must not make asapbench read files. `cells` is called if the suite has own data.
    """
    recorded = cache(cells)

    def complete(choice: Choice) -> Choice:
        entry = catalog.DATASETS[choice.name]
        if not entry.reads_a_path:
            return choice
        known = dict.fromkeys(cell.dataset for cell in recorded())
        alike = [one for one in known if one.name == choice.name and entry.settings(one) == entry.settings(choice)]
        if not alike:
            raise DataError(f"{choice.name}: no recorded cell has these data")
        return ([one for one in alike if _last_part(one) == _last_part(choice)] or alike)[-1]

    return complete


def _last_part(choice: Choice) -> str:
    return FilePath(str(dict(choice.local).get("path", ""))).name


def expand(grid: dict[str, Located], report: Report, *, complete: Complete, all_seeds: bool = True) -> Iterator[Cell]:
    """The cells of one grid whose keys have `[defaults]` filled in; problems go to `report`.

    Without `all_seeds` only those of the first seed.
    """
    chosen = {kind: _choices(kind, grid, report) for kind in CHOICES}
    chosen["dataset"] = list(_completed(chosen["dataset"], grid, report, complete=complete))
    plain = {name: _plain(option, grid, report) for name, option in RECIPE.items()}
    seeds = list(_taken(grid["seeds"], checked_seed, report)) if "seeds" in grid else [0]
    rates = _rates(grid, [choice.name for choice in chosen["rule"]], report)
    longest = max(rates.values(), key=len, default=[])
    if _too_many(map(len, (*chosen.values(), *plain.values(), seeds, longest)), (), report):
        return
    seeds = seeds if all_seeds else seeds[:1]
    for choices in itertools.product(*chosen.values()):
        choice = dict(zip(chosen, choices, strict=True))
        rule, dataset = choice["rule"].name, choice["dataset"].name
        for lr in rates.get(rule, ()) if seeds else ():
            configurations = []  # whether a cell can be trained does not depend on its seed
            for values in itertools.product(*plain.values()):
                recipe = dict(zip(plain, values, strict=True))
                if recipe["augment"] == "auto":
                    recipe["augment"] = catalog.DATASETS[dataset].augment
                values_of_cell: dict[str, Any] = {**choice, **recipe}
                cell = Cell(lr=lr, seed=seeds[0], **values_of_cell)
                if fault := impossible(cell):
                    report(_place(fault.key, cell, grid), fault.message)
                else:
                    configurations.append(cell)
            yield from (cell.with_seed(seed) for seed in seeds for cell in configurations)


@dataclass(frozen=True)
class Impossible:
    """Why a cell cannot be trained: the key at fault, such as `dataset.train_size`, what is wrong and how to fix it."""

    key: str
    message: str


def require_trainable(cell: Cell) -> None:
    """Raises SuiteError for a cell that cannot be trained: a database of an earlier version may hold one."""
    if fault := impossible(cell):
        raise SuiteError(f"{cell.label}: {fault.message}")


def impossible(cell: Cell) -> Impossible | None:
    """Why these values cannot be trained together, or None."""
    return next(itertools.chain(_faults_of_size(cell), _faults_of_choices(cell)), None)


def _faults_of_choices(cell: Cell) -> Iterator[Impossible]:
    if reason := catalog.OPTIMIZERS[cell.optimizer.name].fault(cell.optimizer):
        yield Impossible(f"optimizer.{reason[0]}", reason[1])
    if cell.warmup >= cell.epochs:
        yield Impossible("warmup", f"warmup {cell.warmup} leaves no epoch of {cell.epochs} behind it: choose less")
    if reason := catalog.SCHEDULES[cell.schedule.name].fault(cell.schedule, cell.epochs):
        yield Impossible(f"schedule.{reason[0]}", f"{cell.schedule.name}: {reason[1]}")
    model, data = catalog.MODELS[cell.model.name], cell.dataset.name
    if cell.normalization == "released" and catalog.DATASETS[cell.dataset.name].released is None:
        known = ", ".join(name for name, entry in catalog.DATASETS.items() if entry.released is not None)
        yield Impossible("normalization", f"the released code has no normalization for {data} (it has for {known})")
    is_features = catalog.dataset_shape(cell.dataset).is_features
    if is_features and cell.augment != "none":
        yield Impossible("augment", f'{cell.augment} moves pixels, and {data} has none: use "none"')
    if is_features and model.has_convolutions:
        fit = ", ".join(name for name, entry in catalog.MODELS.items() if not entry.has_convolutions)
        yield Impossible("model", f"{model.name} needs images, and the data are feature vectors: use {fit}")
    rule = catalog.RULES[cell.rule.name]
    if unsuited := rule.unsuited(model):
        yield Impossible("rule", unsuited)
    if reason := rule.fault(cell.rule, cell.batch_size):
        yield Impossible(f"rule.{reason[0]}", f"{rule.name}: {reason[1]}")
    if rule.needs_float32 and cell.precision != "float32":
        lost = f"{rule.name} learns from small differences, which {cell.precision} rounds off"
        yield Impossible("precision", f'{lost}: use "float32"')


def _faults_of_size(cell: Cell) -> Iterator[Impossible]:
    if fault := catalog.DATASETS[cell.dataset.name].beyond(cell.dataset):
        yield Impossible("dataset.train_size", fault)
    whole = catalog.dataset_shape(cell.dataset).train
    train = whole - cell.validation
    if whole < 2:
        text = f"train_size {whole} is too small to train on: take at least 2, or 0 for all"
        yield Impossible("dataset.train_size", text)
    if train < 2:
        leaves = f"validation {cell.validation} leaves {max(train, 0)} of {whole} training examples"
        yield Impossible("validation", f"{leaves}: hold out at most {whole - 2}")
    if train % cell.batch_size == 1:
        text = f"{train} training examples in batches of {cell.batch_size} leave a last batch of one example, on which"
        yield Impossible("batch_size", f"{text} BatchNorm has no variance: choose another batch_size")


def _place(key: str, cell: Cell, grid: dict[str, Located]) -> Path:
    """The place of the value that `cell` has of `key`; none for a default."""
    return _place_of(key, getattr(cell, key.partition(".")[0]), grid)


def _place_of(key: str, value: Any, grid: dict[str, Located]) -> Path:
    kind, _, option = key.partition(".")
    for item in grid[kind].items() if kind in grid else ():
        table = item.value if isinstance(item.value, dict) else {"name": item.value}
        if kind not in CHOICES:
            if item.value == value:
                return item.path
        elif table.get("name") == value.name and not option:
            return item.path
        elif table.get("name") == value.name and option in table:
            for one in Located(table[option], (*item.path, option)).items():
                if one.value == dict((*value.options, *value.local)).get(option):
                    return one.path
    return ()


def _choices(kind: str, grid: dict[str, Located], report: Report) -> list[Choice]:
    found: list[Choice] = []
    if kind not in grid:
        if kind in catalog.DEFAULTS:
            return [catalog.DEFAULTS[kind]]
        lr = grid.get("lr")
        if kind == "rule" and lr is not None and isinstance(lr.value, dict):
            names = [name for name in lr.value if name in catalog.RULES]
            return [catalog.RULES[name].choose() for name in names]
        report((), f"no {kind} is named: add {kind} = ... here or under [defaults]")
        return []
    for item in grid[kind].items():
        name = item.value.get("name") if isinstance(item.value, dict) else item.value
        if not isinstance(name, str):
            needs = 'a table needs name = "..."' if isinstance(item.value, dict) else f"not {describe(name)}"
            report(item.path, f"{kind} must be a name or a table with a name: {needs}")
        elif name not in catalog.CATALOG[kind]:
            path = (*item.path, "name") if isinstance(item.value, dict) else item.path
            report(path, unknown(kind, name))
        else:
            table = item.value if isinstance(item.value, dict) else {"name": name}
            found += _with_options(kind, name, Located(table, item.path), report)
    return found


def _completed(
    choices: Iterable[Choice], grid: dict[str, Located], report: Report, *, complete: Complete
) -> Iterator[Choice]:
    for choice in choices:
        try:
            yield complete(choice)
        except DataError as error:
            report(_place_of("dataset.path", choice, grid) or grid["dataset"].path, str(error))


def _with_options(kind: str, name: str, table: Located, report: Report) -> Iterator[Choice]:
    entry = catalog.CATALOG[kind][name]
    given = {key: Located(value, (*table.path, key)).items() for key, value in table.value.items() if key != "name"}
    sound = True
    for key, items in given.items():
        for item in items:
            try:
                entry.choose({key: item.value})
            except ValueError as error:
                report(item.path, str(error))
                sound = False
    if sound and not _too_many(map(len, given.values()), table.path, report):
        for values in itertools.product(*given.values()):
            yield entry.choose({key: item.value for key, item in zip(given, values, strict=True)})


def _plain(option: Option, grid: dict[str, Located], report: Report) -> list[Any]:
    return list(_taken(grid[option.name], option.checked, report)) if option.name in grid else [option.default]


def _taken(located: Located, checked: Callable[[object], T], report: Report) -> Iterator[T]:
    """The checked items; errors of the others go to `report`."""
    for item in located.items():
        try:
            yield checked(item.value)
        except ValueError as error:
            report(item.path, str(error))


def _too_many(counts: Iterable[int], path: Path, report: Report) -> bool:
    """Whether lists of these lengths give more than `MOST_CELLS` combinations; if so, that is reported."""
    total = math.prod(counts)
    if total > MOST_CELLS:
        report(path, f"the product of these lists has {describe(total)} cells: a grid has at most {MOST_CELLS}")
    return total > MOST_CELLS


def _rates(grid: dict[str, Located], rules: Sequence[str], report: Report) -> dict[str, list[float]]:
    """The learning rates by rule: a number or a list for all of `rules`, or a table as the paper's Table 3."""
    if "lr" not in grid:
        report((), "no learning rate: add lr = ... here or under [defaults]")
        return {}
    lr = grid["lr"]
    if not isinstance(lr.value, dict):
        shared = list(_taken(lr, checked_learning_rate, report))
        return dict.fromkeys(rules, shared)
    located = {name: Located(value, (*lr.path, name)) for name, value in lr.value.items()}
    rates = {name: list(_taken(rate, checked_learning_rate, report)) for name, rate in located.items()}
    for name in rates:
        if name not in catalog.RULES:
            report(located[name].path, unknown("rule", name))
    for name in dict.fromkeys(rules):
        if name not in rates:
            report(lr.path, f'no learning rate for the rule "{name}": add {name} = ...')
    return rates
