"""Printed numbers, each with the cell of a shipped suite that stands for it.

A suite names the printed tables that its cells belong to. Which rule a cited work is, and what a table prints beside
data set, model and rule, is known here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from asapbench.report.configuration import entries
from asapbench.report.published import PublishedRow, PublishedTable, published
from asapbench.suite.catalog import DATASETS, MODELS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, shipped

UNIDENTIFIED = "[48]"
CITED = {"[46]": "local_errors", "[47]": "predsim", UNIDENTIFIED: "dgl"}
"""The rule that stands for a cited work (Table 5). [48] could not be identified: `dgl` is a stand-in."""

WEIGHT_DECAY = 4
"""The table whose columns are weight decays, and whose rows are rules."""

Key = tuple[str, str, str, float | None]
"""Names of data set, model and rule, and what else tells printed numbers apart: the weight decay in Table 4."""


@dataclass(frozen=True)
class Reference:
    """The cell that a shipped suite declares for one printed number."""

    suite: str
    cell: Cell


@dataclass(frozen=True)
class Printed:
    """One printed number. `reference` is None where no shipped suite has its cell."""

    key: Key
    value: float
    reference: Reference | None


@dataclass(frozen=True)
class Line:
    """One printed row: the data set that heads it, its stub, and its numbers in the order of the columns."""

    header: str
    stub: str
    numbers: tuple[Printed, ...]


def lines(table: int) -> tuple[Line, ...]:
    """The rows of printed table `table`, in the paper's order."""
    printed, known = published().table(table), references(table)
    return tuple(_line(printed, row, known) for row in printed.rows)


def column_titles(table: int) -> tuple[str, ...]:
    """How printed table `table` names its columns, in our rules' titles; a cited work keeps its number."""
    return tuple(_column_title(column) for column in published().table(table).columns)


@cache
def references(table: int) -> Mapping[Key, Reference]:
    """The shipped suites' cells for the numbers of printed table `table`."""
    wanted = {key for row in published().table(table).rows for key, _ in _keyed(published().table(table), row)}
    found: dict[Key, Reference] = {}
    for path in shipped().values():
        suite = load(str(path))
        if table in suite.tables:
            for cell in suite.cells:
                if (key := _key(cell, table)) in wanted:
                    found.setdefault(key, Reference(suite.name, cell))
    return found


def _line(printed: PublishedTable, row: PublishedRow, known: Mapping[Key, Reference]) -> Line:
    keyed = list(_keyed(printed, row))
    dataset, model, rule, _ = keyed[0][0]
    stub = RULES[rule].title if printed.number == WEIGHT_DECAY else MODELS[model].title
    header = DATASETS[dataset].title + (f", {MODELS[model].title}" if printed.number == WEIGHT_DECAY else "")
    return Line(header, stub, tuple(Printed(key, value, known.get(key)) for key, value in keyed))


def _keyed(printed: PublishedTable, row: PublishedRow) -> Iterator[tuple[Key, float]]:
    """Each number of a row with its key. Table 4 names no data set in its rows: its caption says CIFAR-10."""
    for column, value in zip(printed.columns, row.values, strict=True):
        if printed.number == WEIGHT_DECAY:
            yield ("cifar10", str(row.model), str(row.rule), float(column)), value
        else:
            rule = CITED.get(str(column), str(column))
            yield (str(row.dataset), str(row.model), rule, None), value


def _key(cell: Cell, table: int) -> Key:
    decay = cell.optimizer.number("weight_decay") if table == WEIGHT_DECAY else None
    return *entries(cell), decay


def _column_title(column: str | float) -> str:
    if isinstance(column, float | int):
        return f"λ = {column:g}"
    if column == UNIDENTIFIED:
        return f"{column} (unidentified)"
    return f"{column} {RULES[CITED[column]].title}" if column in CITED else RULES[column].title
