"""Speed and memory of training as the epochs recorded them: for each configuration on each hardware, never pooled."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from asapbench.metrics import EpochMetrics
from asapbench.report.page.content import Content
from asapbench.report.page.environments import hardware_of
from asapbench.report.table import Column, Field, Note, Row, Table, grouped
from asapbench.suite.cell import Cell, title
from asapbench.suite.columns import field_text, varying_on_each

_MIB = 2**20

Range = tuple[float, float, float]
"""A median, the first and the third quartile."""


@dataclass(frozen=True)
class Pace:
    """One configuration on one hardware: over `epochs` epochs of all its seeds, `seconds` an epoch and rates."""

    cell: Cell
    hardware: str
    epochs: int
    seconds: Range
    samples_per_second: Range
    peak_mib: float | None


def paces(content: Content) -> list[Pace]:
    """One for each, in the order of the cells; trainings that changed their hardware are left out."""
    found: dict[tuple[str, str], tuple[Cell, list[EpochMetrics]]] = {}
    for one in content.drawn:
        hardware = hardware_of(one)
        if hardware is not None and one.epochs and not one.result.outdated:
            cell = one.result.cell
            found.setdefault((cell.group, hardware), (cell, []))[1].extend(one.epochs)
    return [_pace(cell, hardware, epochs) for (_, hardware), (cell, epochs) in found.items()]


def _pace(cell: Cell, hardware: str, epochs: Sequence[EpochMetrics]) -> Pace:
    peaks = [one.peak_memory_bytes for one in epochs if one.peak_memory_bytes is not None]
    return Pace(
        cell,
        hardware,
        len(epochs),
        _range([one.seconds for one in epochs]),
        _range([one.samples_per_second for one in epochs]),
        max(peaks) / _MIB if peaks else None,
    )


def _range(values: list[float]) -> Range:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return middle, low, high


def pace_table(found: Sequence[Pace]) -> Table:
    """The numbers of the chart, with the number of epochs."""
    others = varying_on_each(one.cell for one in found)
    return Table(
        title="Speed and memory by rule",
        caption="As the epochs recorded them: medians, in brackets the quartiles; of memory the largest. The first "
        "epoch includes preparation, and other work on the machine slows all of them.",
        columns=(Column("Rule", "left"), *map(Column, ("s/epoch", "samples/s", "peak MiB", "epochs"))),
        groups=grouped((_heading(one), [_row(one, others[one.cell.dataset, one.cell.model])]) for one in found),
        notes=(Note("Trainings that changed their hardware on the way are left out."),),
        numbers=(),
    )


def _heading(one: Pace) -> str:
    return f"{title('dataset', one.cell.dataset)}, {title('model', one.cell.model)} on {one.hardware}"


def _row(one: Pace, others: Sequence[str]) -> Row:
    label = ", ".join((title("rule", one.cell.rule), *(field_text(one.cell, name) for name in others)))
    seconds, rates = one.seconds, one.samples_per_second
    return Row(
        (
            Field(label),
            Field(f"{seconds[0]:.3g} ({seconds[1]:.3g} to {seconds[2]:.3g})"),
            Field(f"{rates[0]:,.0f} ({rates[1]:,.0f} to {rates[2]:,.0f})"),
            Field("-" if one.peak_mib is None else f"{one.peak_mib:,.0f}"),
            Field(str(one.epochs)),
        )
    )
