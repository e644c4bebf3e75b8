"""Cells that a test trains, as a run would, in a database that is served."""

from __future__ import annotations

from collections.abc import Sequence

from asapbench.metrics import EpochMetrics
from asapbench.store import Claim, OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

PROVENANCE = Provenance(None, None, {"torch": "2.14.1"}, {"processor": "Xeon", "cores": 2})


def an_epoch(number: int, accuracy: float = 0.5) -> EpochMetrics:
    return EpochMetrics(number, 1.5, 0.5, 1.25, accuracy, None, None, 0.03, 2.0, 359.5, None)


def of_rules(*rules: str) -> list[Cell]:
    return [cell for cell in load("quickstart").cells if cell.model.name == "resnet10" and cell.rule.name in rules]


def started(store: Store, cells: Sequence[Cell]) -> list[Claim]:
    """The claims of cells that this process trains from now on."""
    store.record_suite("quickstart", "quickstart.toml", cells)
    owner = OwnerProcess.of_this_process()
    return [store.claim(cell, owner=owner, provenance=PROVENANCE, device="cpu") for cell in cells]
