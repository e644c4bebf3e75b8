"""The numbers printed in Woo et al. 2021, as frozen dataclasses. They stand in `published.toml` and nowhere else.

Accuracies are percentages, learning rates and weight decays plain numbers.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

SOURCE = "Woo et al., NeurIPS 2021"


@dataclass(frozen=True)
class PublishedRow:
    """One printed row. `rule` is set where the columns are no rules (Table 4); `dataset` where the row names one."""

    values: tuple[float, ...]
    dataset: str | None = None
    model: str | None = None
    rule: str | None = None


@dataclass(frozen=True)
class PublishedTable:
    """One printed table: `columns` are rule names, cited works ("[46]"), or weight decays (Table 4)."""

    number: int
    caption: str
    columns: tuple[str | float, ...]
    rows: tuple[PublishedRow, ...]

    def value(
        self, column: str | float, *, dataset: str | None = None, model: str | None = None, rule: str | None = None
    ) -> float | None:
        """The printed number, or None where the paper has none."""
        if column not in self.columns:
            return None
        for row in self.rows:
            if (row.dataset, row.model, row.rule) == (dataset, model, rule):
                return row.values[self.columns.index(column)]
        return None


@dataclass(frozen=True)
class ForwardAlignment:
    """Section A.2: test accuracy in percent of BP and forward alignment on MNIST, for one of the two networks."""

    network: str
    bp: float
    forward_alignment: float


@dataclass(frozen=True)
class Published:
    """Everything in `published.toml`."""

    tables: tuple[PublishedTable, ...]
    forward_alignment: tuple[ForwardAlignment, ...]

    def table(self, number: int) -> PublishedTable:
        """Printed table `number`. Raises KeyError."""
        for table in self.tables:
            if table.number == number:
                return table
        raise KeyError(number)


@cache
def published() -> Published:
    """The printed numbers, read once."""
    document = tomllib.loads(files("asapbench.report").joinpath("published.toml").read_text(encoding="utf-8"))
    tables = (
        _table(int(name.removeprefix("table")), content)
        for name, content in document.items()
        if name.startswith("table")
    )
    alignment = (ForwardAlignment(network, **values) for network, values in document["forward_alignment"].items())
    return Published(tables=tuple(tables), forward_alignment=tuple(alignment))


def _table(number: int, content: dict[str, Any]) -> PublishedTable:
    columns = tuple(content["columns"])
    rows = []
    for row in content["rows"]:
        if len(row["values"]) != len(columns):
            raise ValueError(f"published.toml: a row of table {number} has not one value a column: {row}")
        model = row.get("model", content.get("model_inferred"))
        values = tuple(float(value) for value in row["values"])
        rows.append(PublishedRow(values, dataset=row.get("dataset"), model=model, rule=row.get("rule")))
    return PublishedTable(number=number, caption=content["caption"], columns=columns, rows=tuple(rows))
