"""A table as every renderer takes it: text laid out in rows, and the same numbers in long form, unrounded.

Nothing in a table is escaped: each renderer escapes for its own format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from string import ascii_lowercase
from typing import Any, ClassVar, Literal, TypeVar, cast

Align = Literal["left", "right"]
Emphasis = Literal["plain", "strong", "faint"]

PUBLISHED, DIFFERENCE = "published", "difference"
"""The names of lines below a row of measured numbers."""

AND_DIFFERENCE = " and the difference, measured minus published"
"""The part of a caption that explains lines of differences."""


@dataclass(frozen=True)
class Column:
    """A column's title and alignment."""

    title: str
    align: Align = "right"


@dataclass(frozen=True)
class Exact:
    """The numbers in a field's text, unrounded, and the form of the text: `{:.2f} ± {:.2f}`."""

    form: str
    values: tuple[float, ...]

    def text(self, digits: int | None = None) -> str:
        """The text, where `digits` is not None with that many digits instead of the form's own.

        >>> Exact("{:.2f} ± {:.2f}", (94.934, 0.116)).text(1)
        '94.9 ± 0.1'
        """
        form = self.form if digits is None else re.sub(r"\.\d+(?=[efg]\})", f".{digits}", self.form)
        return form.format(*self.values)


@dataclass(frozen=True)
class Field:
    """One field of a row. `marks` are the marks of its footnotes, `indent` is a number of levels.

    `exact`: the numbers that the text rounds, where it has some.
    "strong" marks the best of several numbers and all that are not significantly worse: renderers print it bold.
    """

    text: str
    marks: tuple[str, ...] = ()
    indent: int = 0
    emphasis: Emphasis = "plain"
    exact: Exact | None = None

    @property
    def is_spread(self) -> bool:
        """Whether the text is a mean, a blank and its spread."""
        return self.exact is not None and len(self.exact.values) > 1 and bool(re.match(r"\S+ [±(+]", self.text))


def numeric(form: str, *values: float, marks: tuple[str, ...] = (), emphasis: Emphasis = "plain") -> Field:
    """A field of numbers.

    >>> numeric("{:+.2f}", 0.256).text
    '+0.26'
    """
    exact = Exact(form, values)
    return Field(exact.text(), marks, emphasis=emphasis, exact=exact)


@dataclass(frozen=True)
class Row:
    """One field for each column; the first names the row."""

    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Group:
    """Rows under a common header, such as a data set."""

    header: str
    rows: tuple[Row, ...]


def grouped(rows: Iterable[tuple[str, Iterable[Row]]]) -> tuple[Group, ...]:
    """Rows with their headers as groups, in the order in which the headers first appear."""
    groups: dict[str, list[Row]] = {}
    for header, members in rows:
        groups.setdefault(header, []).extend(members)
    return tuple(Group(header, tuple(members)) for header, members in groups.items())


@dataclass(frozen=True)
class Note:
    """A line below the table; a footnote if it has a mark. `commands` can be pasted into a shell."""

    text: str
    commands: tuple[str, ...] = ()
    mark: str | None = None


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number in long form, unrounded. `variant` is its difference from other numbers of the same three names.

    `measured` is the mean of `n` values (in Table 3 the value in the suite file, in Figure 11 the count), `sd` their
    sample standard deviation, `difference` measured minus published. None: there is no such value. `samples` are the n
    values themselves, `seeds` the seeds of their trainings in the same order, where they are known. `IN_UNIT` names
    the fields that are in `unit`.
    """

    IN_UNIT: ClassVar[tuple[str, ...]] = ("measured", "sd", "published", "difference")

    dataset: str
    model: str
    rule: str
    variant: str = ""
    measured: float | None
    sd: float | None = None
    n: int = 1
    diverged: int = 0
    published: float | None = None
    difference: float | None = None
    metric: str
    unit: str
    samples: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Strong:
    """What the strong values of a table are, where its caption says so.

    `form` has `{of}` where it names the line in which they are the best.
    """

    form: str
    of: Literal["row", "column"] = "row"

    @property
    def transposed(self) -> Strong:
        """The same of a table whose rows are the columns of this one."""
        return replace(self, of="column" if self.of == "row" else "row")


@dataclass(frozen=True)
class Table:
    """A report. `summary` is a line directly below the rows, and `ranked` its numbers, where it ranks some.

    `name` is short, as in `quickstart`, for references. A table without title and caption is shown without a heading.
    `records` are the columns of a list, by name: text that is not cut has them instead of rows, CSV and JSON instead of
    numbers.
    """

    title: str
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    notes: tuple[Note, ...]
    numbers: tuple[Number, ...]
    summary: str = ""
    ranked: Exact | None = None
    name: str = ""
    records: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    strong: Strong | None = None

    def described(self, mark: str = "Bold") -> str:
        """The caption, and what strong values are; `mark` is how the renderer shows these.

        >>> Table("", "Accuracy.", (), (), (), (), strong=Strong("the best of its {of}.")).described("*")
        'Accuracy. *: the best of its row.'
        """
        if self.strong is None:
            return self.caption
        return f"{self.caption} {mark}: {self.strong.form.format(of=self.strong.of)}"


class Footnotes:
    """Marks footnotes `a`, `b`, ..., `z`, `aa` in the order in which they are first used; equal texts share a mark.

    A mark is a letter and is printed in brackets, so that nobody reads it as a digit of the number beside it.

    >>> footnotes = Footnotes()
    >>> footnotes.mark("1 diverged of 3"), footnotes.mark("not measured"), footnotes.mark("1 diverged of 3")
    ('a', 'b', 'a')
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
    """`[a,b]`; empty without a mark."""
    return f"[{','.join(marks)}]" if marks else ""


def pieces(text: str) -> list[str]:
    """What a line of a title may end behind: words with the blanks before them, brackets, and options up to commas.

    >>> pieces("Local errors(unit=block)"), pieces("weight decay = 0")
    (['Local', ' errors', '(unit=block)'], ['weight', ' decay =', ' 0'])
    """
    return [piece for piece in re.findall(r" *\(?[^ (,]*,?(?: =)?", text) if piece]


def _letters(number: int) -> str:
    before, last = divmod(number, len(ascii_lowercase))
    return (_letters(before - 1) if before else "") + ascii_lowercase[last]


T = TypeVar("T")


def with_texts(value: T, change: Callable[[str], str]) -> T:
    """`value`, a table or a part of one, with `change` applied to every text."""
    if isinstance(value, str):
        return cast(T, change(value))
    if isinstance(value, tuple):
        return cast(T, tuple(with_texts(item, change) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: with_texts(getattr(value, field.name), change) for field in fields(value)}
        return cast(T, replace(value, **changed))
    return value
