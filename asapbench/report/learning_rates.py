"""Table 3: the initial learning rates in the shipped suite files, beside the published ones."""

from __future__ import annotations

from decimal import Decimal

from asapbench.report.configuration import MISSING
from asapbench.report.published import SOURCE, published
from asapbench.report.references import Line, Printed, column_titles, lines
from asapbench.report.table import Column, Field, Footnotes, Group, Number, Row, Table


def table3() -> Table:
    """Table 3. It needs no database: what was run is what the suites say."""
    footnotes = Footnotes()
    groups: dict[str, list[Row]] = {}
    for line in lines(3):
        groups.setdefault(line.header, []).extend(_rows(line, footnotes))
    return Table(
        title=f"Table 3. {published().table(3).caption}",
        caption=f"First line of each model: the shipped suite files; below it as published ({SOURCE}).",
        columns=(Column("Model", "left"), *map(Column, column_titles(3))),
        groups=tuple(Group(header, tuple(rows)) for header, rows in groups.items()),
        notes=footnotes.notes(),
        numbers=tuple(_number(printed) for line in lines(3) for printed in line.numbers),
        metric="initial learning rate",
        unit="1",
    )


def _rows(line: Line, footnotes: Footnotes) -> tuple[Row, Row]:
    ours, theirs = [], []
    for printed in line.numbers:
        rate = _rate(printed)
        marks = () if rate == printed.value else (footnotes.mark("differs from the published learning rate"),)
        ours.append(Field(MISSING if rate is None else scientific(rate), marks, emphasis="strong"))
        theirs.append(Field(scientific(printed.value), emphasis="faint"))
    below = Field("published", indent=1, emphasis="faint")
    return Row((Field(line.stub), *ours)), Row((below, *theirs))


def _rate(printed: Printed) -> float | None:
    return None if printed.reference is None else printed.reference.cell.lr


def scientific(rate: float) -> str:
    """3e-2, as the paper prints it."""
    return f"{Decimal(repr(rate)).normalize():e}".replace("e+", "e")


def _number(printed: Printed) -> Number:
    dataset, model, rule, _ = printed.key
    rate = _rate(printed)
    return Number(
        dataset,
        model,
        rule,
        variant="",
        measured=rate,
        sd=None,
        n=int(rate is not None),
        diverged=0,
        published=printed.value,
        difference=None if rate is None else rate - printed.value,
        metric="initial learning rate",
        unit="1",
    )
