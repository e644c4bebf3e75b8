"""Tables for a terminal of a given width: the rows of any table in panels, and a whole report, plain or coloured.

A table that is too wide first loses the blanks around its `±`; then its columns continue in further panels, each with
the row names repeated. Numbers are never broken or cut. Without colour there is no bold: a star marks strong values
where the table says what they are.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from operator import add

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from asapbench.escape import encodable, visible
from asapbench.report.table import Column, Field, Group, Note, Table, bracketed, with_texts

_GAP = "  "
_WITHOUT_BLANKS = partial(re.compile(r" (±|\+/-) ").sub, r"\1")
_STAR = "*"
_STYLE = {"plain": "", "strong": "bold", "faint": "dim"}


def panels(
    columns: Sequence[Column], groups: tuple[Group, ...], *, width: float, star: str = ""
) -> Iterator[list[Text]]:
    """Yields the lines of each panel, a panel at most `width` wide where the row names and one column fit.

    The first line holds the titles, padded to the panel's width. A row that is empty in a panel is left out; so is a
    panel or the header of a group without rows. `star` follows each strong value.

    >>> from asapbench.report.table import Row
    >>> rows = (Row((Field("ASAP"), Field("97.31 %"), Field("0.96"))), Row((Field("BP"), Field("-"), Field("1.00"))))
    >>> for panel in panels((Column("rule", "left"), Column("test"), Column("time")), (Group("", rows),), width=14):
    ...     print([line.plain for line in panel])
    ['rule     test', 'ASAP  97.31 %', 'BP          -']
    ['rule  time', 'ASAP  0.96', 'BP    1.00']
    """
    padded = _padded(columns, groups, star)
    if _total(padded) > width:
        groups = with_texts(groups, _WITHOUT_BLANKS)
        padded = _padded(columns, groups, star)
    names, *others = range(len(columns))
    shown: list[list[int]] = [[]]
    for place in others:
        if shown[-1] and _total([padded[p] for p in (names, *shown[-1], place)]) > width:
            shown.append([])
        shown[-1].append(place)
    for places in shown:
        lines = map(Text(_GAP).join, zip(*(padded[place] for place in (names, *places)), strict=True))
        panel = [next(lines)]
        for group in groups:
            rows = [(row, next(lines)) for row in group.rows]
            if filled := [line for row, line in rows if any(row.fields[place].text for place in places)]:
                panel += [Text(visible(group.header), style="bold")] if group.header else []
                panel += [*filled, Text()]
        if len(panel) > 1:
            yield panel[:-1]
        elif not any(group.rows for group in groups):
            yield panel


def _padded(columns: Sequence[Column], groups: Sequence[Group], star: str) -> list[list[Text]]:
    """For each column its title and its fields, all of one width. Stars and marks stand beyond the aligned texts."""
    rows = [row.fields for group in groups for row in group.rows]
    padded: list[list[Text]] = []
    for place, column in enumerate(columns):
        fields = [Field(column.title, emphasis="strong"), *(row[place] for row in rows)]
        texts = [_GAP * field.indent + visible(field.text) for field in fields]
        stars = ["", *(star if field.emphasis == "strong" and field.text else "" for field in fields[1:])]
        marks = [one + bracketed(field.marks) for one, field in zip(stars, fields, strict=True)]
        room, hang = max(map(cell_len, texts)), max(map(cell_len, marks))
        padded.append([])
        for field, text, mark in zip(fields, texts, marks, strict=True):
            line = Text().append(text, _STYLE[field.emphasis]).append(mark)
            line.pad_right(hang - cell_len(mark))
            (line.pad_left if column.align == "right" else line.pad_right)(room - cell_len(text))
            padded[-1].append(line)
    return padded


def _total(padded: Sequence[Sequence[Text]]) -> int:
    """The width of a panel of these columns."""
    return sum(texts[0].cell_len for texts in padded) + len(_GAP) * (len(padded) - 1)


def render_uncut(table: Table) -> str:
    """The records of a list, each as one line, without style, quickly: many thousand of them in a pipe.

    >>> columns, records = (Column("rule", "left"), Column("test")), {"rule": ["BP", "ASAP"], "test": ["97.31", "-"]}
    >>> print(render_uncut(Table("", "", columns, (), (), (), records=records)), end="")
    rule   test
    BP    97.31
    ASAP      -
    """
    columns = [_uncut(column, table.records[column.title]) for column in table.columns]
    heading = [visible(text) for text in (table.title, table.caption) if text]
    lines = [*heading, ""] if heading else []
    lines += [_GAP.join(fields).rstrip() for fields in zip(*columns, strict=True)]
    notes = [text for note in table.notes for text in (visible(note.text), *(f"    {c}" for c in note.commands))]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _uncut(column: Column, texts: Sequence[str]) -> list[str]:
    """The title of the column and its texts, all of one width."""
    texts = [visible(text) for text in (column.title, *texts)]
    widths = list(map(len if all(map(str.isascii, texts)) else cell_len, texts))
    widest = max(widths)
    blanks = [" " * (widest - width) for width in widths]
    return list(map(add, texts, blanks) if column.align == "left" else map(add, blanks, texts))


def render_terminal(table: Table, *, width: int = 100, color: bool = False, encoding: str = "utf-8") -> str:
    """The table as lines of at most `width` columns, where a single column of it fits, for a terminal's `encoding`."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=color, color_system="standard" if color else None)
    star = "" if color or table.strong is None else _STAR
    for line in _lines(table, width, encodable("─", encoding), star):
        line.rstrip()
        console.print(line, soft_wrap=True)
    return stream.getvalue()


def _lines(table: Table, width: int, sign: str, star: str) -> list[Text]:
    lines = [*_wrapped(table.title, width, "bold"), *_wrapped(table.described(star or "Bold"), width, "dim"), Text()]
    for titles, *rows in panels(table.columns, table.groups, width=width, star=star):
        rule = Text(sign * titles.cell_len, style="dim")
        lines += [titles, rule, *rows, rule, Text()]
    if table.summary:
        lines += [*_wrapped(table.summary, width, "bold"), Text()]
    for note in table.notes:
        lines += _note(note, width)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _note(note: Note, width: int) -> list[Text]:
    mark = f"{bracketed(note.mark)} " if note.mark else ""
    lines = _wrapped(mark + visible(note.text), width, "")
    return [*lines, *(Text(f"    {visible(command)}", style="cyan") for command in note.commands)]


def _wrapped(text: str, width: int, style: str) -> list[Text]:
    lines = textwrap.wrap(visible(text), max(width, 20), break_long_words=False, break_on_hyphens=False)
    return [Text(line, style=style) for line in lines]
