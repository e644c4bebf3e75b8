"""Measures the shortcut effect of cells with kept weights on their training data, and stores it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from asapbench.analysis.saved_weights import Kept, kept_weights
from asapbench.analysis.shortcut import NAME, shortcut_effect
from asapbench.data.files import data_root
from asapbench.data.lookup import check
from asapbench.errors import SuiteError
from asapbench.machine.hardware import commit, hardware, versions
from asapbench.store import Provenance
from asapbench.store.store import Store
from asapbench.suite.catalog import DATASETS
from asapbench.suite.select import only
from asapbench.worker.files import files_of


def chosen(
    store: Store, prefixes: Sequence[str], *, suite: str | None, filters: Sequence[str], files: Path | None = None
) -> list[Kept]:
    """The kept weights of the named cells, or of all selected by a suite or filters that have them.

    Raises SuiteError if none or both are given, StoreError if there are no kept weights.
    """
    if bool(prefixes) == bool(suite or filters):
        raise SuiteError("analyze shortcut: name cells, or choose them with --suite or --only")
    where = files_of(store, files)
    if prefixes:
        return [kept_weights(store, prefix, files=where) for prefix in prefixes]
    results = [result for result in store.results(suite=suite) if result.attempt.weights_path is not None]
    wanted = {cell.id for cell in only([result.cell for result in results], filters)}
    ids = [result.attempt.cell_id for result in results if result.cell.id in wanted]
    return [kept_weights(store, cell_id, files=where) for cell_id in ids]


def analyze_shortcut(store: Store, kept: Kept, *, batches: int, data: Path | None) -> None:
    """Measures one cell on the first `batches` batches of its first epoch, on the CPU, and stores the rows.

    Raises AsapbenchError for a network that has no layer to measure, StoreError and DataError for what is missing.
    """
    root = data_root(data)
    check(kept.cell.dataset, root)

    import torch

    from asapbench.data.images import load
    from asapbench.training.batches import training_batches
    from asapbench.training.environment import configure

    device = torch.device("cpu")
    configure(device, threads=1, deterministic=True, precision=kept.cell.precision)
    images = load(DATASETS[kept.cell.dataset.name].within(kept.cell.dataset), root)
    train, _ = training_batches(kept.cell, images, device, memory_format=torch.contiguous_format)
    rows = shortcut_effect(kept.model(), islice(train.epoch(1, kept.cell.batch_size), batches))
    provenance = Provenance(*commit(), versions(), hardware())
    store.record_measurements(NAME, kept.attempt.id, rows, provenance)
