"""How a report is laid out: digits, rows and columns, heading, width. Options of every command that makes one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from asapbench.report.table import Column, Field, Group, Number, Row, Table, bracketed
from asapbench.setting import Setting

_FIXED = {"percent", "points", "degrees", "nats"}
"""The units of numbers that are printed with a fixed number of digits behind the point."""


@dataclass(frozen=True)
class Layout:
    """The options. `width` is in inches."""

    digits: Annotated[
        int | None, Setting(metavar="N", min=0, max=12, help="Digits of each number, in every format.")
    ] = None
    transpose: Annotated[bool, Setting(help="Swap rows and columns.")] = False
    no_caption: Annotated[
        bool,
        Setting(aliases=("--no-title",), help="Without title and caption: in LaTeX a bare tabular."),
    ] = False
    label: Annotated[
        str | None, Setting(metavar="LABEL", help=r"Of \label in LaTeX. Default: as in tab:quickstart.")
    ] = None
    width: Annotated[
        float | None,
        Setting(metavar="LENGTH", help="Of a picture, and the most of a table in LaTeX: 3.3in, 84mm, 8.4cm or 240pt."),
    ] = None


PLAIN = Layout()


def arranged(table: Table, layout: Layout) -> Table:
    """The table with the digits, the rows and columns and the heading that `layout` asks for."""
    if layout.digits is not None:
        table = with_digits(table, layout.digits)
    if layout.transpose:
        table = transposed(table)
    return replace(table, title="", caption="", strong=None) if layout.no_caption else table


def with_digits(table: Table, digits: int) -> Table:
    """Every printed number with so many digits: behind the point, or significant ones where the report counts those.

    In long form, for CSV and JSON, percentages, degrees and losses are rounded; other numbers and the samples that
    statistics are computed from stay as they are.

    >>> from asapbench.report.paper import accuracy_table
    >>> with_digits(accuracy_table(1, []), 1).groups[0].rows[1].fields[1].text
    '99.6'
    """
    groups = tuple(
        replace(group, rows=tuple(Row(tuple(_rounded(field, digits) for field in row.fields)) for row in group.rows))
        for group in table.groups
    )
    numbers = tuple(_rounded_number(number, digits) for number in table.numbers)
    summary = table.summary if table.ranked is None else table.ranked.text(digits)
    return replace(table, groups=groups, numbers=numbers, summary=summary)


def _rounded(field: Field, digits: int) -> Field:
    return field if field.exact is None else replace(field, text=field.exact.text(digits))


def _rounded_number(number: Number, digits: int) -> Number:
    if number.unit not in _FIXED:
        return number

    values = {name: getattr(number, name) for name in number.IN_UNIT}
    return replace(number, **{name: round(value, digits) for name, value in values.items() if value is not None})


def transposed(table: Table) -> Table:
    """Rows and columns swapped inside each group: the columns become rows, the rows with their lines below columns.

    >>> from asapbench.report.paper import accuracy_table
    >>> found = transposed(accuracy_table(1, []))
    >>> [column.title for column in found.columns], [row.fields[0].text for row in found.groups[0].rows][:3]
    (['', 'AlexNet', 'ResNet-18 (nsc)', 'ResNet-18', 'ResNet-34'], ['BP', 'published', 'KP'])
    """
    blocks = [list(_blocks(group)) for group in table.groups]
    titles = list(dict.fromkeys(title for members in blocks for title, _ in members))
    groups = tuple(
        Group(group.header, tuple(_transposed_rows(table.columns, dict(members), titles)))
        for group, members in zip(table.groups, blocks, strict=True)
    )
    columns = (Column("", "left"), *(Column(text) for text, _ in titles))
    strong = None if table.strong is None else table.strong.transposed
    return replace(table, columns=columns, groups=groups, strong=strong)


_Title = tuple[str, int]
"""The name of a row, and how many rows of its group before it have the same."""


def _blocks(group: Group) -> Iterator[tuple[_Title, tuple[Row, ...]]]:
    """Each row that is not indented with the lines below it."""
    blocks: list[list[Row]] = []
    for row in group.rows:
        if row.fields[0].indent and blocks:
            blocks[-1].append(row)
        else:
            blocks.append([row])
    before: dict[str, int] = {}
    for block in blocks:
        stub = block[0].fields[0]
        text = stub.text + bracketed(stub.marks)
        yield (text, before.setdefault(text, 0)), tuple(block)
        before[text] += 1


def _transposed_rows(
    columns: Sequence[Column], blocks: dict[_Title, tuple[Row, ...]], titles: Sequence[_Title]
) -> Iterator[Row]:
    """For each old column the row with its main numbers, and below it a line for each kind of line below those."""
    below = dict.fromkeys(row.fields[0] for block in blocks.values() for row in block[1:])
    for place, column in enumerate(columns[1:], start=1):
        mains = [blocks[title][0].fields[place] if title in blocks else Field("") for title in titles]
        yield Row((Field(column.title), *mains))
        for stub in below:
            fields = [
                next((row.fields[place] for row in blocks.get(title, ())[1:] if row.fields[0] == stub), Field(""))
                for title in titles
            ]
            if any(field.text for field in fields):
                yield Row((stub, *fields))
