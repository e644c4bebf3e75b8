"""Evaluates kept weights. Imports torch only when it evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asapbench.analysis.saved_weights import kept_weights
from asapbench.data.files import data_root
from asapbench.data.lookup import check
from asapbench.store.store import Store
from asapbench.suite.catalog import DATASETS
from asapbench.suite.cell import Cell
from asapbench.worker.files import files_of


@dataclass(frozen=True)
class Evaluated:
    """Loss in nats and accuracies as fractions of 1; `recorded` is the attempt's last epoch."""

    cell: Cell
    path: Path
    loss: float
    accuracy: float
    recorded: float | None


def evaluate_kept(store: Store, prefix: str, data: Path | None, *, files: Path | None = None) -> Evaluated:
    """Evaluates the kept weights of a cell's current attempt. Raises StoreError if there are none, or other ones."""
    kept = kept_weights(store, prefix, files=files_of(store, files))
    root = data_root(data)
    check(kept.cell.dataset, root)

    from asapbench.data.images import load
    from asapbench.training.weights import evaluated

    kept.require_whole()
    _, loss, accuracy = evaluated(kept.path, load(DATASETS[kept.cell.dataset.name].within(kept.cell.dataset), root))
    return Evaluated(kept.cell, kept.path, loss, accuracy, kept.attempt.last_test_accuracy)
