"""Kept weights, found through the database and evaluated again. Imports torch only when it evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asapbench.data.files import check, data_root
from asapbench.errors import StoreError
from asapbench.store.store import Store
from asapbench.suite.cell import Cell


@dataclass(frozen=True)
class Evaluated:
    """Loss in nats and accuracies as fractions of 1; `recorded` is the attempt's last epoch."""

    cell: Cell
    path: Path
    loss: float
    accuracy: float
    recorded: float | None


def evaluate_kept(store: Store, prefix: str, data: Path | None) -> Evaluated:
    """Evaluates the weights a cell's current attempt kept. Raises StoreError where none were, or others lie there."""
    cell_id = store.find_cell_id(prefix)
    current = store.states([cell_id])[cell_id]
    if current is None or current.weights_path is None:
        raise StoreError(
            f"cell {cell_id[:10]} has no kept weights: train it with "
            f"`asapbench rerun --only cell={cell_id[:10]} --keep-weights`"
        )
    path = Path(current.weights_path)
    cell = store.find_cell(prefix)
    root = data_root(data)
    check(cell.dataset, root)

    from asapbench.data.images import load
    from asapbench.training.checkpoint import digest
    from asapbench.training.weights import evaluated

    if digest(path) != current.weights_digest:
        raise StoreError(f"{path}: these are not the weights that the database has recorded for cell {cell_id[:10]}")
    found, loss, accuracy = evaluated(path, load(cell.dataset, root))
    return Evaluated(found, path, loss, accuracy, current.last_test_accuracy)
