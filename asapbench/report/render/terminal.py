"""Plain or coloured text for a terminal of a given width.

A table that is too wide first loses the blanks around its `±`; then its columns continue in further panels, each with
the row names repeated. Numbers are never broken or cut.
"""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from asapbench.escape import encodable, visible
from asapbench.report.table import Field, Group, Note, Row, Table, bracketed

_GAP = 2
_SPREAD = re.compile(r" (±|\+/-) ")
_STYLE = {"plain": "", "strong": "bold", "faint": "dim"}


def render_terminal(table: Table, *, width: int = 100, color: bool = False, encoding: str = "utf-8") -> str:
    """The table as lines of at most `width` columns, where a single column of it fits, for a terminal's `encoding`."""
    stream = io.StringIO()
    console = Console(
        file=stream,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        emoji=False,
        markup=False,
        width=width,
    )
    for line in _lines(table, width, encodable("─", encoding)):
        line.rstrip()
        console.print(line, soft_wrap=True)
    return stream.getvalue()


def _lines(table: Table, width: int, rule: str) -> list[Text]:
    lines = [*_wrapped(table.title, width, "bold"), *_wrapped(table.caption, width, "dim"), Text()]
    for panel in _panels(table, width, rule):
        lines += [*panel.lines(), Text()]
    if table.summary:
        lines += [*_wrapped(table.summary, width, "bold"), Text()]
    for note in table.notes:
        lines += _note(note, width)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


@dataclass(frozen=True)
class _Panel:
    """Some columns of the table, after its row names. `widths` of the texts, `hangs` of the footnote marks."""

    columns: tuple[int, ...]
    table: Table
    widths: tuple[int, ...]
    hangs: tuple[int, ...]
    rule: str

    def lines(self) -> list[Text]:
        rule = Text(self.rule * self.total, style="dim")
        titles = Row(tuple(Field(column.title, emphasis="strong") for column in self.table.columns))
        lines = [self._row(titles), rule]
        for group in self.table.groups:
            lines += [
                Text(visible(group.header), style="bold"),
                *(self._row(row) for row in self._rows_with_content(group)),
                Text(),
            ]
        return [*lines[:-1], rule]

    @property
    def total(self) -> int:
        places = (0, *self.columns)
        return sum(self.widths[place] + self.hangs[place] for place in places) + _GAP * len(self.columns)

    def _rows_with_content(self, group: Group) -> list[Row]:
        """The group's rows that are not empty in these columns."""
        return [row for row in group.rows if any(row.fields[place].text for place in self.columns)]

    def _row(self, row: Row) -> Text:
        line = Text()
        for place in (0, *self.columns):
            field = row.fields[place]
            text, mark = _text(field), _mark(field)
            room = self.widths[place] - cell_len(text)
            if self.table.columns[place].align == "right":
                text, after = " " * room + text, " " * (self.hangs[place] - cell_len(mark))
            else:
                after = " " * (room + self.hangs[place] - cell_len(mark))
            line.append(" " * _GAP if place else "").append(text, _STYLE[field.emphasis]).append(mark).append(after)
        return line


def _panels(table: Table, width: int, rule: str) -> list[_Panel]:
    whole = _panel(table, rule)
    if whole.total > width:
        table = replace(table, groups=tuple(_tight(group) for group in table.groups))
        whole = _panel(table, rule)
    panels: list[list[int]] = [[]]
    for column in whole.columns:
        wider = replace(whole, columns=(*panels[-1], column))
        if panels[-1] and wider.total > width:
            panels.append([])
        panels[-1].append(column)
    return [replace(whole, columns=tuple(columns)) for columns in panels]


def _panel(table: Table, rule: str) -> _Panel:
    rows = [row.fields for group in table.groups for row in group.rows]
    places = range(len(table.columns))
    titles = [cell_len(visible(column.title)) for column in table.columns]
    widths = tuple(max([titles[p], *(cell_len(_text(row[p])) for row in rows)]) for p in places)
    hangs = tuple(max([0, *(cell_len(_mark(row[p])) for row in rows)]) for p in places)
    return _Panel(tuple(places)[1:], table, widths, hangs, rule)


def _tight(group: Group) -> Group:
    def tight(row: Row) -> Row:
        return Row(tuple(replace(field, text=_SPREAD.sub(r"\1", field.text)) for field in row.fields))

    return replace(group, rows=tuple(tight(row) for row in group.rows))


def _text(field: Field) -> str:
    return "  " * field.indent + visible(field.text)


def _mark(field: Field) -> str:
    return bracketed(field.marks)


def _note(note: Note, width: int) -> list[Text]:
    mark = f"{bracketed(note.mark)} " if note.mark else ""
    lines = _wrapped(mark + visible(note.text), width, "")
    return [*lines, *(Text(f"    {visible(command)}", style="cyan") for command in note.commands)]


def _wrapped(text: str, width: int, style: str) -> list[Text]:
    lines = textwrap.wrap(visible(text), max(width, 20), break_long_words=False, break_on_hyphens=False)
    return [Text(line, style=style) for line in lines]
