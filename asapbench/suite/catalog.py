"""What a suite may name, collected from where it is declared: rules, models, data sets and optimizers.

Each is declared in its own module of `rules/`, `models/`, `data/sets/` or `training/optimizers/`; this module imports
them all and lists no names. None of them imports torch. An option keeps its name and default for ever; a change that
alters results raises the entry's `revision`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeVar

from asapbench.suite.datasets import DatasetEntry, DatasetShape
from asapbench.suite.entries import ModelEntry, OptimizerEntry, RuleEntry
from asapbench.suite.options import Choice, Entry
from asapbench.suite.schedules import ScheduleEntry

E = TypeVar("E", bound=Entry)

_HOMES = (
    *("asapbench.rules", "asapbench.models", "asapbench.data.sets"),
    *("asapbench.training.optimizers", "asapbench.training.schedules"),
)
"""Modules, and packages whose modules are all imported: none may import torch."""

RULES: dict[str, RuleEntry] = {}
MODELS: dict[str, ModelEntry] = {}
DATASETS: dict[str, DatasetEntry] = {}
OPTIMIZERS: dict[str, OptimizerEntry] = {}
SCHEDULES: dict[str, ScheduleEntry] = {}

CATALOG: dict[str, Mapping[str, Entry]] = {
    "dataset": DATASETS,
    "model": MODELS,
    "rule": RULES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}

_CLASSES: dict[str, type[Any]] = {}


def collect(module: ModuleType) -> None:
    """Takes every entry of `module`: module-level objects, and classes with an entry of their own in `entry`.

    An entry that is known already, imported from where it is declared, changes nothing. Raises ValueError for two
    entries of one name.
    """
    for value in list(vars(module).values()):
        entry = vars(value).get("entry") if isinstance(value, type) else value
        if isinstance(entry, RuleEntry) and isinstance(value, type):
            _add(RULES, entry)
            _CLASSES[entry.name] = value
        elif isinstance(entry, ModelEntry):
            _add(MODELS, entry)
        elif isinstance(entry, DatasetEntry):
            _add(DATASETS, entry)
        elif isinstance(entry, OptimizerEntry):
            _add(OPTIMIZERS, entry)
        elif isinstance(entry, ScheduleEntry):
            _add(SCHEDULES, entry)


def rule_class(name: str) -> type[Any]:
    """The class of the rule called `name`, an `asapbench.rules.Rule`. Raises KeyError."""
    return _CLASSES[name]


def _add(known: dict[str, E], entry: E) -> None:
    if known.setdefault(entry.name, entry) is not entry:
        raise ValueError(f"there are two entries called {entry.name}")


for _home in map(importlib.import_module, _HOMES):
    collect(_home)
    for _found in pkgutil.iter_modules(getattr(_home, "__path__", ())):
        if not _found.ispkg:
            collect(importlib.import_module(f"{_home.__name__}.{_found.name}"))

DEFAULTS: dict[str, Choice] = {"optimizer": OPTIMIZERS["sgd"].choose(), "schedule": SCHEDULES["cosine"].choose()}
"""What a suite need not name: the paper's."""


@lru_cache(maxsize=1_000)
def dataset_shape(dataset: Choice) -> DatasetShape:
    """The shape of a chosen data set, its subset options taken into account."""
    entry = DATASETS[dataset.name]
    whole = entry.whole(dataset)
    wanted = dataset.integer("train_size")
    return whole if wanted == 0 or entry.beyond(dataset) else replace(whole, train=wanted)
