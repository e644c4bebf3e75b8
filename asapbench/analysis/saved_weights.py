"""Finds kept weights through the database, loads and evaluates them. torch is imported only then."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data.files import data_root
from asapbench.data.lookup import check
from asapbench.errors import StoreError
from asapbench.store.records import Attempt
from asapbench.store.store import Store
from asapbench.suite.catalog import DATASETS
from asapbench.suite.cell import Cell
from asapbench.worker.files import Files, files_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Kept:
    """The weights that a cell's current attempt kept."""

    cell_id: str
    cell: Cell
    attempt: Attempt
    path: Path

    def require_whole(self) -> None:
        """Raises StoreError if the file holds other weights than the attempt kept, CheckpointError if it is missing."""
        from asapbench.training.checkpoint import digest

        if digest(self.path) != self.attempt.weights_digest:
            raise StoreError(
                f"{self.path}: these are not the weights that the database has recorded for cell {self.cell_id[:10]}"
            )

    def model(self) -> nn.Module:
        """The trained plain model, on the CPU, in evaluation mode. Raises StoreError, CheckpointError."""
        from asapbench.training.weights import load

        self.require_whole()
        return load(self.path)[1]


def kept_weights(store: Store, prefix: str, *, files: Files) -> Kept:
    """The kept weights of the cell whose identity begins with `prefix`. Raises StoreError if none were kept.

    Searches `files` first, then the recorded path: another host may see that folder at another path.
    """
    cell_id = store.find_cell_id(prefix)
    current = store.states([cell_id])[cell_id]
    if current is None or current.weights_path is None:
        raise StoreError(
            f"cell {cell_id[:10]} has no kept weights: train it with "
            f"`asapbench rerun --only cell={cell_id[:10]} --keep-weights`"
        )
    here, written = files.weights(cell_id, current.id), Path(current.weights_path)
    return Kept(cell_id, store.find_cell(prefix), current, here if os.path.isfile(here) else written)


@dataclass(frozen=True)
class Evaluated:
    """Loss in nats and accuracies as fractions of 1; `recorded` is the attempt's last epoch."""

    cell: Cell
    path: Path
    loss: float
    accuracy: float
    recorded: float | None


def evaluate(store: Store, prefix: str, data: Path | None, *, files: Path | None = None) -> Evaluated:
    """Evaluates the kept weights of a cell's current attempt. Raises StoreError if there are none, or other ones."""
    kept = kept_weights(store, prefix, files=files_of(store, files))
    root = data_root(data)
    check(kept.cell.dataset, root)

    from asapbench.data.images import load
    from asapbench.training.weights import evaluated

    kept.require_whole()
    _, loss, accuracy = evaluated(kept.path, load(DATASETS[kept.cell.dataset.name].within(kept.cell.dataset), root))
    return Evaluated(kept.cell, kept.path, loss, accuracy, kept.attempt.last_test_accuracy)
