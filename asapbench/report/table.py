"""A table as every renderer takes it: text laid out in rows, and the same numbers in long form, unrounded.

Nothing in it is escaped: each renderer escapes for its own format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from string import ascii_lowercase
from typing import Literal, TypeVar, cast

Align = Literal["left", "right"]
Emphasis = Literal["plain", "strong", "faint"]


@dataclass(frozen=True)
class Column:
    """A column's title and alignment."""

    title: str
    align: Align = "right"


@dataclass(frozen=True)
class Field:
    """One field of a row. `marks` are those of its footnotes, `indent` counts levels."""

    text: str
    marks: tuple[str, ...] = ()
    indent: int = 0
    emphasis: Emphasis = "plain"


@dataclass(frozen=True)
class Row:
    """One field a column; the first names the row."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Group:
    """Rows under a common header, such as a data set."""

    header: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Note:
    """A line below the table: a footnote if it has a mark. `commands` can be pasted into a shell."""

    text: str
    commands: tuple[str, ...] = ()
    mark: str | None = None


@dataclass(frozen=True)
class Number:
    """One number in long form, unrounded. `variant` says what sets it apart from the others of its names.

    `measured` is the mean of `n` values (for Table 3 the value in the suite file, for Figure 11 the count); `sd` is
    their sample standard deviation; `difference` is measured minus published. None: there is none.
    """

    dataset: str
    model: str
    rule: str
    variant: str
    measured: float | None
    sd: float | None
    n: int
    diverged: int
    published: float | None
    difference: float | None
    metric: str
    unit: str


@dataclass(frozen=True)
class Table:
    """A report. `metric` and `unit` hold for all `numbers`; `summary` is a line right below the rows."""

    title: str
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[Note, ...]
    numbers: tuple[Number, ...]
    metric: str
    unit: str
    summary: str = ""


class Footnotes:
    """Marks footnotes `a`, `b`, ..., `z`, `aa` in the order in which they are first needed; one text has one mark.

    A mark is a letter, and `bracketed` where it is printed: it can never be read as a digit of the number it is at.
    """

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """The mark of the footnote that says `text`."""
        return self._marks.setdefault(text, _letters(len(self._marks)))

    def notes(self) -> tuple[Note, ...]:
        """The footnotes, in order."""
        return tuple(Note(text, mark=mark) for text, mark in self._marks.items())


def bracketed(marks: Sequence[str]) -> str:
    """`[a,b]`, or nothing for no mark."""
    return f"[{','.join(marks)}]" if marks else ""


def _letters(number: int) -> str:
    before, last = divmod(number, len(ascii_lowercase))
    return (_letters(before - 1) if before else "") + ascii_lowercase[last]


T = TypeVar("T")


def with_texts(value: T, change: Callable[[str], str]) -> T:
    """`value`, a table or a part of one, with `change` made in every text."""
    if isinstance(value, str):
        return cast(T, change(value))
    if isinstance(value, tuple):
        return cast(T, tuple(with_texts(item, change) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: with_texts(getattr(value, field.name), change) for field in fields(value)}
        return cast(T, replace(value, **changed))
    return value
