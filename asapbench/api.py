"""What Python code, such as a notebook, reads: the results of a database and the weights that a run kept.

`asapbench` exports these functions. Both open the database for reading only. torch is imported by `load_model` alone.
"""

from __future__ import annotations

import os
import warnings
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
    installed are left out, with a warning: `load_plugin` loads what they need.
    Raises StoreError for a database that does not exist or an unknown suite.

    >>> from asapbench import load_results
    >>> [(result.cell.rule.name, result.attempt.state) for result in load_results(suite="quickstart")]
    [('bp', 'done')]
    """
    from asapbench.store import Store
    from asapbench.suite.plugins import lacking

    _load_installed()
    with Store.read_only(os.fspath(db)) as store:
        if unreadable := store.unreadable_cells():
            warnings.warn(lacking([f"cell {cell_id[:10]}" for cell_id in unreadable]), stacklevel=2)
        return store.results(suite=suite)


def load_plugin(plugin: str | Path) -> None:
    """Loads a plug-in, a Python file or the name of a module, as `--plugin` does: its rules, models and so on.

    Raises PluginError for one that does not exist, fails, or has an entry of a name that is taken.

    >>> from asapbench import load_plugin
    >>> load_plugin("no_such.py")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    asapbench.errors.MissingPluginError: ...no_such.py: there is no such plug-in file...
    """
    from asapbench.suite.plugins import load

    load(os.fspath(plugin))


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

    _load_installed()
    with Store.read_only(os.fspath(db)) as store:
        return kept_weights(store, cell, files=None if files is None else Path(files)).model()


def _load_installed() -> None:
    from asapbench.suite.plugins import load_installed

    for fault in load_installed():
        warnings.warn(fault, stacklevel=3)
