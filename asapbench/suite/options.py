"""Typed options of a catalog entry, and the choice of one entry with its options filled in."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Value = bool | int | float | str

Role = Literal["setting", "content", "found", "label", "place"]
"""What an option is for.

`setting`: the suite gives it, and it is part of the identity. The other roles are those of data that a suite names by
their path. `content` (their fingerprint) and `found` (their shape) are read from the data and are part of the identity
too; a suite that gives one is held to it. `label` names the data in reports. `place` is their path on this machine:
like a label no part of the identity, and it never leaves the machine.
"""


@dataclass(frozen=True)
class Option:
    """One option: its type is the type of `default`.

    `choices`, or `minimum`, `above` and `below`, limit what it may be; the last two exclude the limit itself.
    """

    name: str
    default: Value
    help: str
    choices: tuple[Value, ...] = ()
    minimum: float | None = None
    below: float | None = None
    role: Role = "setting"
    canonical: Callable[[str], str] | None = None
    above: float | None = None

    @property
    def is_identity(self) -> bool:
        """Whether another value makes another cell."""
        return self.role not in ("label", "place")

    @property
    def is_given(self) -> bool:
        """Whether a suite gives it; the others are read from the data."""
        return self.role not in ("content", "found")

    def checked(self, value: object) -> Value:
        """`value` in this option's canonical type. Raises ValueError that says what is allowed."""
        kind = type(self.default)
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            value = finite(value, name=self.name)
        elif isinstance(value, int) and abs(value) >= _LARGE:
            raise ValueError(f"{self.name} must be less than {_LARGE}, not {describe(value)}")
        if type(value) is not kind:
            raise ValueError(f"{self.name} must be {_WORD[kind]}, not {describe(value)}")
        if self.choices and value not in self.choices:
            listed = ", ".join(str(choice) for choice in self.choices)
            raise ValueError(f"{self.name} must be one of {listed}, not {value!r}{nearest(value, self.choices)}")
        if self.minimum is not None and isinstance(value, int | float) and value < self.minimum:
            raise ValueError(f"{self.name} must be at least {self.minimum:g}, not {value!r}")
        if self.above is not None and isinstance(value, int | float) and value <= self.above:
            raise ValueError(f"{self.name} must be greater than {self.above:g}, not {value!r}")
        if self.below is not None and isinstance(value, int | float) and value >= self.below:
            raise ValueError(f"{self.name} must be less than {self.below:g}, not {value!r}")
        if self.role == "content" and not re.fullmatch("([0-9a-f]{64})?", str(value)):
            raise ValueError(f"{self.name} must be a SHA-256, 64 hexadecimal digits, not {value!r}: leave it out")
        if self.role == "label" and not (str(value).isprintable() and len(str(value)) <= _LABEL):
            raise ValueError(f"{self.name} must be at most {_LABEL} printable characters, not {value!r}")
        assert isinstance(value, bool | int | float | str)
        return self.canonical(value) if self.canonical is not None and isinstance(value, str) else value


_LARGE = 2**31
"""Whole numbers are smaller, as a database's INTEGER is."""

_LABEL = 64
"""Characters of the longest label: tables show it."""

_CLOSE = 0.6
"""How similar a name must be to be suggested: difflib's measure."""

_WORD: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def finite(value: float, *, name: str) -> float:
    """`value` as an identity holds it: 1 is 1.0, and -0.0 is 0.0. Raises ValueError for what is no finite float."""
    try:
        number = value + 0.0
    except OverflowError:  # a whole number beyond any float
        number = math.inf
    if not math.isfinite(number):
        beyond = "" if math.isnan(number) else "; numbers end at 1.79e308"
        raise ValueError(f"{name} must be finite, not {describe(value)}{beyond}")
    return number


def describe(value: object) -> str:
    """How an error names a value of the wrong type."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and abs(value) >= 2**63:  # Python does not even write out the longest
        return "a number of more than 18 digits"
    return repr(value)


def nearest(name: object, names: Iterable[object]) -> str:
    """`; did you mean "x"?` for the closest of `names`, the first of equals, or nothing."""
    close = {str(n): difflib.SequenceMatcher(None, str(n), str(name)).ratio() for n in names}
    best = max(close, key=lambda known: close[known], default="")
    return f'; did you mean "{best}"?' if close.get(best, 0) >= _CLOSE else ""


def there_are(names: Iterable[object]) -> str:
    """` (there are: a, b)`, for an error about an unknown name; nothing without names.

    >>> there_are([1, 2]), there_are([])
    (' (there are: 1, 2)', '')
    """
    known = ", ".join(map(str, names))
    return f" (there are: {known})" if known else ""


@dataclass(frozen=True)
class Entry:
    """What a suite may name: a rule, a model, a data set or an optimizer.

    `revision` counts changes that alter results: it is part of every cell's identity.
    `source` is the equation, section or work that the entry follows.
    """

    name: str
    title: str
    source: str
    revision: int = 1
    options: tuple[Option, ...] = ()

    def option(self, name: str) -> Option:
        """The declaration of option `name`. Raises KeyError."""
        for option in self.options:
            if option.name == name:
                return option
        raise KeyError(name)

    def given(self, choice: Choice) -> dict[str, Value]:
        """The options of `choice` as a suite gives them: without what is read from the data."""
        return {name: value for name, value in (*choice.options, *choice.local) if self.option(name).is_given}

    def with_options(self, choice: Choice, **given: Value) -> Choice:
        """`choice` with the options `given` in place of its own. Raises ValueError."""
        return self.choose({**dict((*choice.options, *choice.local)), **given})

    def choose(self, given: Mapping[str, Value] | None = None) -> Choice:
        """The entry with `given` options, the others at their defaults. Raises ValueError."""
        given = dict(given or {})
        unknown = [name for name in given if name not in {option.name for option in self.options}]
        if unknown:
            names = [option.name for option in self.options if option.is_given]
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise ValueError(f'{self.name} has no option "{unknown[0]}" ({has}){nearest(unknown[0], names)}')
        filled = {o: o.checked(given[o.name]) if o.name in given else o.default for o in self.options}
        return Choice(
            self.name,
            tuple(sorted((o.name, value) for o, value in filled.items() if o.is_identity)),
            tuple(sorted((o.name, value) for o, value in filled.items() if not o.is_identity and value != o.default)),
        )


@dataclass(frozen=True)
class Choice:
    """One entry of the catalog with every option resolved, in the order of their names.

    `local` holds the options that are no part of the identity, labels and places, where they are given. Choices that
    differ in these alone are equal.
    """

    name: str
    options: tuple[tuple[str, Value], ...] = ()
    local: tuple[tuple[str, Value], ...] = field(default=(), compare=False)

    def __getitem__(self, option: str) -> Value:
        for name, value in (*self.options, *self.local):
            if name == option:
                return value
        raise KeyError(f"{self.name} has no option {option}")

    def integer(self, option: str) -> int:
        """Option `option`, a whole number."""
        value = self[option]
        assert isinstance(value, int)
        return value

    def number(self, option: str) -> float:
        """Option `option`, a number."""
        value = self[option]
        assert isinstance(value, int | float)
        return float(value)

    def text(self, option: str) -> str:
        """Option `option`, a string."""
        value = self[option]
        assert isinstance(value, str)
        return value

    def flag(self, option: str) -> bool:
        """Option `option`, true or false."""
        value = self[option]
        assert isinstance(value, bool)
        return value
