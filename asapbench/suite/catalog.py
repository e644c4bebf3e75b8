"""What a suite may name, collected from where it is declared: rules, models, data sets and optimizers.

Each is declared in its own module of `rules/`, `models/`, `data/sets/` or `training/optimizers/`; this module imports
them all and lists no names; `suite.plugins` adds entries of plug-ins. None of them imports torch. An option keeps its
name and default for ever; a change that alters results raises the entry's `revision`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType
from typing import Any

from asapbench.suite.entries import DatasetEntry, DatasetShape, ModelEntry, OptimizerEntry, RuleEntry, ScheduleEntry
from asapbench.suite.options import Choice, Entry

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

_TABLES: dict[str, tuple[type[Entry], dict[str, Any]]] = {
    "dataset": (DatasetEntry, DATASETS),
    "model": (ModelEntry, MODELS),
    "rule": (RuleEntry, RULES),
    "optimizer": (OptimizerEntry, OPTIMIZERS),
    "schedule": (ScheduleEntry, SCHEDULES),
}

CATALOG: dict[str, Mapping[str, Entry]] = {kind: table for kind, (_, table) in _TABLES.items()}

_CLASSES: dict[str, type[Any]] = {}


@dataclass(frozen=True)
class Declared:
    """An entry and where it is declared: the module's variable, for a rule its class."""

    kind: str
    entry: Entry
    variable: str
    rule: type[Any] | None = None


def declared_in(module: ModuleType) -> Iterator[Declared]:
    """The entries of `module`, also those that it imports: objects, and classes with an entry of their own."""
    for variable, value in list(vars(module).items()):
        rule = value if isinstance(value, type) and isinstance(vars(value).get("entry"), Entry) else None
        entry = value if rule is None else vars(rule)["entry"]
        for kind, (sort, _) in _TABLES.items():
            if isinstance(entry, sort):
                yield Declared(kind, entry, variable, rule)


def add(declared: Declared) -> None:
    """Puts an entry into the catalog. Raises ValueError where another entry has its name."""
    entry = declared.entry
    if _TABLES[declared.kind][1].setdefault(entry.name, entry) is not entry:
        raise ValueError(f"there are two entries called {entry.name}")
    if declared.rule is not None:
        _CLASSES[entry.name] = declared.rule


def rule_class(name: str) -> type[Any]:
    """The class of the rule called `name`, an `asapbench.rules.Rule`. Raises KeyError."""
    return _CLASSES[name]


def _collect() -> None:
    for home in map(importlib.import_module, _HOMES):
        inside = [found.name for found in pkgutil.iter_modules(getattr(home, "__path__", ())) if not found.ispkg]
        for module in (home, *(importlib.import_module(f"{home.__name__}.{name}") for name in inside)):
            for declared in declared_in(module):
                add(declared)


_collect()

DEFAULTS: dict[str, Choice] = {"optimizer": OPTIMIZERS["sgd"].choose(), "schedule": SCHEDULES["cosine"].choose()}
"""What a suite need not name: the paper's."""


@lru_cache(maxsize=1_000)
def dataset_shape(dataset: Choice) -> DatasetShape:
    """The shape of a chosen data set, its subset options taken into account."""
    entry = DATASETS[dataset.name]
    whole = entry.whole(dataset)
    wanted = dataset.integer("train_size")
    return whole if wanted == 0 or entry.beyond(dataset) else replace(whole, train=wanted)
