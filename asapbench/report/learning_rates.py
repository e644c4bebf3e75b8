"""Table 3: the initial learning rates in the shipped suite files, beside the published ones."""

from __future__ import annotations

from decimal import Decimal

from asapbench.report.configuration import MISSING, faint, number
from asapbench.report.published import SOURCE, Line, Printed, printed_table
from asapbench.report.statistics import Summary
from asapbench.report.table import Column, Field, Footnotes, Number, Row, Table, grouped

_METRIC, _UNIT = "initial learning rate", "1"


def table3() -> Table:
    """Table 3. It needs no database: the suites hold the learning rates that runs use.

    >>> table3().columns[1].title
    'BP'
    """
    printed, footnotes = printed_table(3), Footnotes()
    groups = grouped((line.header, _rows(line, footnotes)) for line in printed.lines)
    return Table(
        title=printed.title,
        caption=f"First line of each model: the shipped suite files; below it as published ({SOURCE}).",
        columns=(Column("Model", "left"), *map(Column, printed.columns)),
        groups=groups,
        notes=footnotes.notes(),
        numbers=tuple(map(_number, printed.numbers)),
        metric=_METRIC,
        unit=_UNIT,
    )


def _rows(line: Line, footnotes: Footnotes) -> tuple[Row, Row]:
    ours, theirs = [], []
    for printed in line.numbers:
        rate = _rate(printed)
        marks = () if rate == printed.value else (footnotes.mark("differs from the published learning rate"),)
        ours.append(Field(MISSING if rate is None else scientific(rate), marks, emphasis="strong"))
        theirs.append(Field(scientific(printed.value), emphasis="faint"))
    return Row((Field(line.stub), *ours)), Row((faint("published"), *theirs))


def _rate(printed: Printed) -> float | None:
    return None if printed.reference is None else printed.reference.cell.lr


def scientific(rate: float) -> str:
    """A learning rate as the paper prints it.

    >>> scientific(0.03), scientific(0.0001)
    ('3e-2', '1e-4')
    """
    return f"{Decimal(repr(rate)).normalize():e}".replace("e+", "e")


def _number(printed: Printed) -> Number:
    rate = _rate(printed)
    measured = Summary(() if rate is None else (rate,))
    return number(measured, names=printed.key[:3], metric=_METRIC, published=printed.value, unit=_UNIT)
