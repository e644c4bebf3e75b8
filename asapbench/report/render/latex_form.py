"""How a table fits one column of a two-column article, or else the whole width of its page. No TeX is needed.

A table that is too wide for a column sets each spread below its mean; then it takes the page's width (`table*`,
which a document of one column sets like `table`); then its columns continue in a further tabular below. Lines of
differences are left out, since the published number stands beside the measured one: a reader of print subtracts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from asapbench.report.render.latex_width import BOLD_WIDTH, POINTS_PER_INCH, points
from asapbench.report.table import AND_DIFFERENCE, DIFFERENCE, Field, Row, Table, pieces

_COLUMN, _PAGE = 3.05, 6.2
"""Inches that a column, and a page, of a two-column article has in the usual classes."""

_WIDE = 3.6
"""Inches: what is wider takes both columns."""

SIZE, _SMALL, _MARK, _CAPTION_SIZE = 8.0, 7.0, 6.0, 10.0
"""Points of \\footnotesize, \\scriptsize, raised marks and captions, in a class of 10 points."""

_ROUNDING = 0.01

_LINE, _CAPTION_LINE, _RULE = 9.5, 12.0, 8.0
"""Points of height: of a row, of a line of the caption, and of a rule with its space."""

_TALLEST = 565.0
"""Points of a height that a page of 550 points still has room for: heights are estimated a little too large."""

_QUAD = 8.5
"""Points of the indentation of a row's further lines."""

_BROKEN = 0.35
"""Names of rows are broken into lines rather than take another form, down to this part of their width."""


@dataclass(frozen=True)
class Form:
    """A table as it is set, on `room` points, with `separation` points on both sides between two columns."""

    table: Table
    room: float
    breaks_titles: bool = True
    is_stacked: bool = False

    @property
    def separation(self) -> float:
        """Points of tabcolsep."""
        return 3.0 if self.room <= _WIDE * POINTS_PER_INCH else 5.0

    @property
    def stretch(self) -> float:
        r"""What \arraystretch makes of the height of a row: the lines of one row are close, unless names are broken."""
        return 0.82 if self.is_stacked and self.stub is None else 1.0

    def align(self, place: int) -> str:
        """`l` or `r`. A mean and its spread in one line start at the left, with what is published below the mean."""
        spreads = any(row.fields[place].is_spread for row in _rows(self.table))
        return "l" if spreads and not self.is_stacked else self.table.columns[place].align[0]

    @property
    def height(self) -> float:
        """Points of the float, approximately."""
        rows = sum(len(group.rows) + bool(group.header) for group in self.table.groups)
        rows += self.is_stacked * sum(any(field.is_spread for field in row.fields) for row in _rows(self.table))
        letters = len(self.table.title) + len(self.table.described())
        caption = _CAPTION_LINE * (1 + letters // int(self.room / (0.5 * _CAPTION_SIZE)))
        notes = sum(1 + len(note.text) // int(self.room / (0.5 * _SMALL)) for note in self.table.notes if note.mark)
        return self.stretch * _LINE * rows + _RULE * (3 + len(self.table.groups)) + caption + 8.0 * notes

    @property
    def is_wide(self) -> bool:
        """Whether it takes both columns of an article."""
        return self.room > _WIDE * POINTS_PER_INCH

    @property
    def fits(self) -> bool:
        """Whether one tabular holds all columns, and a page all rows."""
        return self.is_narrow and self.height <= _TALLEST

    @property
    def is_narrow(self) -> bool:
        """Whether one tabular holds all columns."""
        return len(self.places) == 1 and self.width(self.places[0]) <= self.room + _ROUNDING

    @cached_property
    def titles(self) -> list[list[str]]:
        """The title of each column in lines, which make it no wider than its fields if words are short enough."""
        return [
            broken(column.title, max(widths, default=0.0)) if self.breaks_titles else [column.title]
            for column, widths in zip(self.table.columns, self._fields, strict=True)
        ]

    @cached_property
    def stub(self) -> float | None:
        """Points of the row names where they must be broken into lines."""
        room = self.room - self._of(range(1, len(self.table.columns)))
        words = (word for name in self._names for word in broken(name.text, 0.0))
        least = max((points(word, size=SIZE) for word in words), default=0.0) + _QUAD
        if self._widths[0] <= room:
            return None
        return max(room, least, _BROKEN * self._widths[0])

    @cached_property
    def places(self) -> list[list[int]]:
        """The columns of each tabular, as many as fit; the first names the rows."""
        found: list[list[int]] = [[0]]
        for place in range(1, len(self.table.columns)):
            if len(found[-1]) > 1 and self.width([*found[-1], place]) > self.room + _ROUNDING:
                found.append([0])
            found[-1].append(place)
        return found

    def width(self, places: Sequence[int]) -> float:
        """Points of a tabular with the columns at `places`."""
        return (self._widths[0] if self.stub is None else self.stub) + self._of(places[1:])

    def _of(self, places: Sequence[int]) -> float:
        return sum(self._widths[place] + 2 * self.separation for place in places)

    @cached_property
    def _widths(self) -> list[float]:
        titles = [[points(line, size=SIZE) for line in title] for title in self.titles]
        return [max([*fields, *title]) for fields, title in zip(self._fields, titles, strict=True)]

    @cached_property
    def _fields(self) -> list[list[float]]:
        rows = [row.fields for row in _rows(self.table)]
        return [[_width(row[place], self.is_stacked) for row in rows] for place in range(len(self.table.columns))]

    @property
    def _names(self) -> Iterator[Field]:
        return (row.fields[0] for row in _rows(self.table))


def fitting(table: Table, inches: float | None = None) -> Form:
    """The first form that fits `inches`, by default a column or else a page; or the last, in several tabulars."""
    table = _without_differences(table)
    rooms = (_COLUMN, _PAGE) if inches is None else (inches,)
    has_spreads = any(field.is_spread for row in _rows(table) for field in row.fields)
    tried = ((False, False), (True, False), *([(True, True)] if has_spreads else []))
    forms = [Form(table, room * POINTS_PER_INCH, breaks, is_stacked) for room in rooms for breaks, is_stacked in tried]
    narrow = (form for form in forms[::-1] if form.is_narrow and not form.is_stacked)
    return next((form for form in forms if form.fits), next(narrow, forms[-1]))


def broken(text: str, room: float) -> list[str]:
    """`text` in lines of at most `room` points, where its pieces allow it.

    >>> broken("Local errors(unit=block)", 0.0), broken("Local errors", 100.0)
    (['Local', 'errors', '(unit=block)'], ['Local errors'])
    """
    lines: list[str] = []
    for piece in pieces(text):
        if lines and points(lines[-1] + piece, size=SIZE) <= room:
            lines[-1] += piece
        else:
            lines.append(piece.lstrip())
    return lines or [""]


def _rows(table: Table) -> Iterator[Row]:
    return (row for group in table.groups for row in group.rows)


def _width(field: Field, is_stacked: bool) -> float:
    size = _SMALL if field.emphasis == "faint" else SIZE
    bold = BOLD_WIDTH if field.emphasis == "strong" else 1.0
    mean, _, spread = field.text.partition(" ") if field.is_spread and is_stacked else (field.text, "", "")
    marked = bold * points(mean, size=size) + points(",".join(field.marks), size=_MARK)
    return max(marked, points(spread, size=_SMALL)) + _QUAD * field.indent


def _without_differences(table: Table) -> Table:
    """Without the lines of differences, and without their part of the caption."""
    groups = (
        replace(group, rows=tuple(row for row in group.rows if row.fields[0].text != DIFFERENCE))
        for group in table.groups
    )
    return replace(table, groups=tuple(groups), caption=table.caption.replace(AND_DIFFERENCE, ""))
