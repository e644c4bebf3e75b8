"""The numbers printed in Woo et al. 2021, each with the cell of a shipped suite that stands for it.

Only `published.toml` holds the numbers: accuracies in percent, learning rates and weight decays as plain numbers. A
suite names the printed tables that its cells belong to. Only this module knows which rule stands for a cited work, and
what a table prints beside data set, model and rule.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from asapbench.report.configuration import entries
from asapbench.suite.catalog import DATASETS, MODELS, RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, shipped

SOURCE = "Woo et al., NeurIPS 2021"

CITED = {"[46]": "local_errors", "[47]": "predsim", "[48]": "phsic"}
"""The rule of a cited work (Table 5)."""

PROBABLE = "[48]"
"""The cited work that is known by evidence alone: the paper's list of references could not be had."""

WEIGHT_DECAY = 4
"""The table whose columns are weight decays, and whose rows are rules."""

Key = tuple[str, str, str, float | None]
"""Names of data set, model and rule, and the weight decay in Table 4."""


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
    """One printed row: the data set that heads it, its name, and its numbers in the order of the columns."""

    header: str
    stub: str
    numbers: tuple[Printed, ...]


@dataclass(frozen=True)
class PrintedTable:
    """One printed table. A column has the title of our rule; a cited work keeps its number."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def numbers(self) -> list[Printed]:
        """All numbers, row by row."""
        return [printed for line in self.lines for printed in line.numbers]

    @property
    def references(self) -> list[Reference]:
        """The cells that stand for the numbers, where there is one."""
        return [printed.reference for printed in self.numbers if printed.reference is not None]


@cache
def printed_table(number: int) -> PrintedTable:
    """Printed table `number`, with rows and columns in the paper's order. Raises KeyError.

    >>> table = printed_table(1)
    >>> table.columns, table.numbers[0].key, table.numbers[0].value
    (('BP', 'KP', 'FA', 'DFA', 'ASAP'), ('mnist', 'alexnet', 'bp', None), 99.59)
    """
    content = _document()[f"table{number}"]
    rows = [list(_keyed(number, content, row)) for row in content["rows"]]
    known = _references(number, {key for row in rows for key, _ in row})
    return PrintedTable(
        title=f"Table {number}. {content['caption']}",
        columns=tuple(map(_column_title, content["columns"])),
        lines=tuple(_line(number, row, known) for row in rows),
    )


@cache
def forward_alignment_accuracies() -> tuple[float, float, float, float]:
    """Section A.2, in percent on MNIST: BP and Forward Alignment on the linear, then on the nonlinear network."""
    linear, nonlinear = (_document()["forward_alignment"][network] for network in ("linear", "nonlinear"))
    return linear["bp"], linear["forward_alignment"], nonlinear["bp"], nonlinear["forward_alignment"]


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(files("asapbench.report").joinpath("published.toml").read_text(encoding="utf-8"))


def _keyed(table: int, content: dict[str, Any], row: dict[str, Any]) -> Iterator[tuple[Key, float]]:
    """Each number of a row with its key. Table 4 names no data set in its rows: its caption says CIFAR-10."""
    model = str(row.get("model", content.get("model_inferred")))
    for column, value in zip(content["columns"], row["values"], strict=True):
        if table == WEIGHT_DECAY:
            yield ("cifar10", model, row["rule"], float(column)), float(value)
        else:
            yield (row["dataset"], model, CITED.get(column, column), None), float(value)


def _references(table: int, wanted: set[Key]) -> dict[Key, Reference]:
    found: dict[Key, Reference] = {}
    for path in shipped().values():
        suite = load(str(path))
        if table in suite.tables:
            for cell in suite.cells:
                decay = cell.optimizer.number("weight_decay") if table == WEIGHT_DECAY else None
                key = (*entries(cell), decay)
                if key in wanted:
                    found.setdefault(key, Reference(suite.name, cell))
    return found


def _line(table: int, row: list[tuple[Key, float]], known: Mapping[Key, Reference]) -> Line:
    dataset, model, rule, _ = row[0][0]
    stub = RULES[rule].title if table == WEIGHT_DECAY else MODELS[model].title
    header = DATASETS[dataset].title + (f", {MODELS[model].title}" if table == WEIGHT_DECAY else "")
    return Line(header, stub, tuple(Printed(key, value, known.get(key)) for key, value in row))


def _column_title(column: str | float) -> str:
    if isinstance(column, float | int):
        return f"λ = {column:g}"
    if column not in CITED:
        return RULES[column].title
    return f"{column} {RULES[CITED[column]].title}" + (" (probable)" if column == PROBABLE else "")
