"""What an entry must be before the catalog takes it: the same for every kind, shipped or of a plug-in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, get_args

from asapbench.suite.entries import TRAIN_SIZE, DatasetEntry, Needs
from asapbench.suite.options import Entry, Option, Role, Value, describe
from asapbench.suite.recipe import AUGMENTATIONS, RECIPE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ALLOWED = "a lower-case letter, then at most 63 lower-case letters, digits and underscores"

_TAKEN = {"name", "dataset", "model", "rule", "optimizer", "schedule", "lr", "seed", "seeds", *RECIPE}
"""Words that mean something else in a suite: no option has such a name."""

_TYPES: dict[str, tuple[str, Callable[[object], bool]]] = {
    "str": ("a string", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: type(value) is int),
    "float": ("a number", lambda value: type(value) in (int, float)),
    "None": ("None", lambda value: value is None),
    "tuple": ("a tuple", lambda value: isinstance(value, tuple)),
    "Callable": ("a function", callable),
    "Value": ("a string, a number, True or False", lambda value: type(value) in get_args(Value)),
    "Needs": (" or ".join(map(repr, get_args(Needs))), lambda value: value in get_args(Needs)),
    "Role": (" or ".join(map(repr, get_args(Role))), lambda value: value in get_args(Role)),
}
"""What a field may hold, by its type as the class writes it: in words, and the check."""


def fault(entry: Entry) -> str | None:
    """The first thing that is wrong with the declaration, and how to fix it; None if it is sound."""
    return next(_faults(entry), None)


def _faults(entry: Entry) -> Iterator[str]:
    """Each check relies on those before it."""
    yield from _wrong_types(entry)
    if not _NAME.fullmatch(entry.name):
        yield f"its name must be {_ALLOWED}: a suite writes it"
    if not entry.title or not entry.title.isprintable():
        yield f"its title must be printable text, not {entry.title!r}: tables show it"
    if entry.revision < 1:
        yield f"its revision must be at least 1, not {entry.revision}"
    options: tuple[object, ...] = entry.options
    for option in options:
        if not isinstance(option, Option):
            yield f"its options must be a tuple of Option, and one is {describe(option)}"
        else:
            yield from (f"its option {option.name!r}: {reason}" for reason in _faults_of_option(option))
    for name, times in Counter(option.name for option in entry.options).items():
        if times > 1:
            yield f"it has {times} options called {name!r}: rename or remove one"
    if isinstance(entry, DatasetEntry):
        yield from _faults_of_dataset(entry)


def _faults_of_option(option: Option) -> Iterator[str]:
    yield from _wrong_types(option)
    if not _NAME.fullmatch(option.name):
        yield f"its name must be {_ALLOWED}: a suite writes it"
    if option.name in _TAKEN:
        yield "a suite means something else by this word: rename it"
    for value in (option.default, *option.choices):
        try:
            option.checked(value)
        except ValueError as error:
            yield f"{'its default' if value is option.default else 'a choice'} is not allowed: {error}"


def _faults_of_dataset(entry: DatasetEntry) -> Iterator[str]:
    if entry.augment not in AUGMENTATIONS:
        yield f"its augment must be {' or '.join(map(repr, AUGMENTATIONS))}, not {entry.augment!r}"
    if TRAIN_SIZE.name not in {option.name for option in entry.options}:
        yield "it lacks the option train_size: add asapbench.suite.entries.TRAIN_SIZE to its options"


def _wrong_types(declaration: DataclassInstance) -> Iterator[str]:
    """Fields that hold something of another type than their class writes. A type that is not in `_TYPES` is free."""
    for field in fields(declaration):
        value = getattr(declaration, field.name)
        kinds = [re.split(r"\[", kind)[0] for kind in re.split(r" \| (?![^\[]*\])", str(field.type))]
        known = [_TYPES[kind] for kind in kinds if kind in _TYPES]
        if len(known) == len(kinds) and not any(fits(value) for _, fits in known):
            yield f"its {field.name} must be {' or '.join(words for words, _ in known)}, not {describe(value)}"
