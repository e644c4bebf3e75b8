"""What Python code, such as a notebook, reads: the results of a database and the weights that a run kept.

`asapbench` exports these functions. Both open the database for reading only. torch is imported by `load_model` alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from torch import nn

    from asapbench.store import Result


def load_results(db: str | Path = DEFAULT_URL, *, suite: str | None = None) -> list[Result]:
    """Each cell of a database that was started, with its current attempt, in any state.

    `db`: the path of an SQLite file, or a URL as `--db` takes it. `suite`: the name of a recorded suite; only its
    cells are returned, in its order. Accuracies are fractions of 1. Cells whose rule, model or data set is not
    installed are left out.
    Raises StoreError for a database that does not exist or an unknown suite.

    >>> from asapbench import load_results
    >>> [(result.cell.rule.name, result.attempt.state) for result in load_results(suite="quickstart")]
    [('bp', 'done')]
    """
    from asapbench.store import Store

    with Store.read_only(_url(db)) as store:
        return store.results(suite=suite)


def load_model(cell: str, db: str | Path = DEFAULT_URL, *, files: str | Path | None = None) -> nn.Module:
    """The trained plain module of a cell that was run with `--keep-weights`, on the CPU, in evaluation mode.

    `cell`: the first digits of the cell's identity. `db`: as in `load_results`. `files`: the folder of `--files`, if it
    is not the one beside the database. The module takes normalised images (N, C, H, W) and returns logits (N, classes).
    Raises StoreError for an unknown cell or one without kept weights, CheckpointError for a damaged file.

    >>> from asapbench import load_model, load_results
    >>> model = load_model(load_results(suite="quickstart")[0].cell.id)
    >>> model.fc.weight.shape  # a ResNet-10 of width 2, trained on digits
    torch.Size([10, 16])
    """
    from asapbench.analysis.saved_weights import kept_weights
    from asapbench.store import Store

    with Store.read_only(_url(db)) as store:
        return kept_weights(store, cell, files=None if files is None else Path(files)).model()


def _url(db: str | Path) -> str:
    return db if isinstance(db, str) and "://" in db else f"sqlite:///{os.fspath(db)}"
