"""Finds kept weights through the database, loads and evaluates them. Only that imports torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data.files import data_root
from asapbench.data.lookup import located
from asapbench.errors import StoreError
from asapbench.store.records import Attempt, db_option
from asapbench.suite.catalog import DATASETS
from asapbench.suite.cell import Cell
from asapbench.suite.select import relocated

if TYPE_CHECKING:
    from torch import nn

    from asapbench.data.images import Images
    from asapbench.store import Store


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

    def images(self, store: Store, data: Path | None) -> Images:
        """The cell's data; own data also from where `store` knows the same content. Raises DataError."""
        from asapbench.data.images import load

        root = data_root(data)
        dataset = located(self.cell.dataset, root, store.data_sets)
        return load(DATASETS[dataset.name].within(dataset), root)

    def evaluated(self, store: Store, data: Path | None) -> tuple[float, float]:
        """Loss in nats and accuracy as a fraction of 1, on the test data. Raises as `model`, and DataError."""
        images = self.images(store, data)

        from asapbench.training.weights import evaluated

        self.require_whole()
        return evaluated(self.path, images)


def kept_weights(store: Store, prefix: str, *, files: Path | None = None) -> Kept:
    """The kept weights of the cell whose identity starts with `prefix`. Raises StoreError if none were kept.

    Searches the folder `files` (the one beside the database if None) first, then the recorded path: another host may
    see that folder at another path.
    """
    from asapbench.worker.files import files_of  # it needs SQLAlchemy, which reports without a database do not

    cell_id = store.find_cell_id(prefix)
    found = store.results_of([cell_id])
    if not found or found[0].attempt.weights_path is None:
        raise StoreError(
            f"cell {cell_id[:10]} has no kept weights: train it with "
            f"`asapbench rerun --only cell={cell_id[:10]} --keep-weights{db_option(store.url)}`"
        )
    cell, attempt = found[0].cell, found[0].attempt
    here, written = files_of(store, files).weights(cell_id, attempt.id), Path(found[0].attempt.weights_path)
    return Kept(cell_id, cell, attempt, here if os.path.isfile(here) else written)


def with_places(kept: Sequence[Kept], changes: Sequence[str]) -> list[Kept]:
    """`kept` with their data where `changes`, such as `dataset.path=PATH`, say. Raises SuiteError."""
    cells = relocated([one.cell for one in kept], changes)
    return [replace(one, cell=cell) for one, cell in zip(kept, cells, strict=True)]
