"""Speed and memory of training as the epochs recorded them: for each configuration on each hardware, never pooled."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from asapbench.metrics import EpochMetrics
from asapbench.report.configuration import counted
from asapbench.report.page.content import Content
from asapbench.report.page.environments import hardware_of
from asapbench.report.table import Column, Field, Note, Number, Row, Table, grouped
from asapbench.suite.cell import Cell, name, title
from asapbench.suite.columns import field_text, varying

_MIB = 2**20

Range = tuple[float, float, float]
"""A median, the smallest and the largest value."""


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
    for one in content.trained:
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


def _range(values: Sequence[float]) -> Range:
    return statistics.median(values), min(values), max(values)


def pace_table(found: Sequence[Pace]) -> Table:
    """The numbers of the chart, with the number of epochs."""
    others = varying([one.cell for one in found])
    moved = "Trainings that changed their hardware on the way are left out."
    return Table(
        title="Speed and memory by rule",
        caption="As the epochs recorded them: the median, in brackets the fastest and the slowest epoch. The first "
        "epoch includes preparation; other work on the machine slows all of them.",
        columns=(Column("Rule", "left"), *map(Column, ("s/epoch", "samples/s", "peak MiB", "epochs"))),
        groups=grouped((_heading(one), [_row(one, others)]) for one in found),
        notes=(Note(moved),),
        numbers=tuple(_number(one) for one in found),
        summary="",
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
            Field(f"{rates[0]:,.0f} ({rates[2]:,.0f} to {rates[1]:,.0f})"),
            Field("-" if one.peak_mib is None else f"{one.peak_mib:,.0f}"),
            Field(str(one.epochs)),
        )
    )


def _number(one: Pace) -> Number:
    dataset, model, rule = (name(kind, getattr(one.cell, kind)) for kind in ("dataset", "model", "rule"))
    return Number(
        dataset=dataset,
        model=model,
        rule=rule,
        variant=f"{one.hardware}, {counted(one.epochs, 'epoch')}",
        measured=one.seconds[0],
        n=one.epochs,
        metric="seconds an epoch",
        unit="seconds",
    )
