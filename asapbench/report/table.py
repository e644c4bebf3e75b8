"""A table as every renderer takes it: text laid out in rows, and the same numbers in long form, unrounded.

Nothing in it is escaped: each renderer escapes for its own format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "right"]
Emphasis = Literal["plain", "strong", "faint"]


@dataclass(frozen=True)
class Column:
    """A column's title and alignment."""

    title: str
    align: Align = "right"


@dataclass(frozen=True)
class Field:
    """One field of a row. `marks` are the numbers of its footnotes, `indent` counts levels."""

    text: str
    marks: tuple[int, ...] = ()
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
    mark: int | None = None


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
    """Numbers footnotes in the order in which they are first needed; the same text keeps its number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> int:
        """The number of the footnote that says `text`."""
        return self._numbers.setdefault(text, len(self._numbers) + 1)

    def notes(self) -> tuple[Note, ...]:
        """The footnotes, in order."""
        return tuple(Note(text, mark=number) for text, number in self._numbers.items())
