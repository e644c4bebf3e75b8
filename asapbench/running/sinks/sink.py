"""What a sink is: a receiver of per-epoch metrics beside the database, such as TensorBoard.

A sink is one module here with one class that follows `Sink`, and one field of `RunSettings` of the module's name.
"""

from __future__ import annotations

import errno
import importlib.util
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from asapbench.errors import SinkError
from asapbench.metrics import EpochMetrics
from asapbench.suite.cell import Cell
from asapbench.suite.columns import settings
from asapbench.suite.options import Value

_GROUPS = {"train": "train", "test": "test", "validation": "val"}
_NOT_METRICS = ("epoch",)


@dataclass(frozen=True)
class Series:
    """The epochs of one cell from scratch to its end, through all resumed attempts: `lineage` of the store.

    A cell that is trained from scratch again is another series.
    """

    cell: Cell
    lineage: str

    @property
    def id(self) -> str:
        """The name of the series in every sink: the same whenever the cell resumes."""
        return f"{self.cell.short}-{self.lineage[:8]}"

    @property
    def name(self) -> str:
        """A readable name, also as a folder; different series have different names."""
        cell = self.cell
        return f"{cell.dataset.name}-{cell.model.name}-{cell.rule.name}-seed{cell.seed}-{self.id}"

    @property
    def group(self) -> str:
        """The same for the seeds of one configuration."""
        return self.cell.group[:10]

    def settings(self) -> dict[str, Value]:
        """Every setting of the cell, by the names that `--only` takes."""
        return settings(self.cell)


class Sink(Protocol):
    """One destination. Its class takes the setting's value, and raises SinkError if it cannot be used.

    The methods of an object are called on one thread of its own. What they raise switches the sink off.
    """

    def __init__(self, value: Any, /) -> None: ...

    @staticmethod
    def check(value: Any, /) -> None:
        """Raises SinkError if the setting's value cannot be used. Makes nothing: a dry run checks, too."""

    def open(self, series: Series) -> int:
        """Start or continue a series; return the last epoch that the destination has of it, 0 if it has none."""

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        """Add one epoch of an open series; epochs come in order, each once."""

    def ended(self, series: Series, state: str) -> None:
        """Close a series: its attempt ended in this state, or nothing more is known of it for now."""

    def close(self) -> None:
        """Close the destination, after the last series."""


def scalars(metrics: EpochMetrics) -> dict[str, float]:
    """The metrics of an epoch, named in the common way; those that are missing are left out.

    >>> scalars(EpochMetrics(1, 2.0, 0.25, 1.0, 0.5, None, None, 0.1, 9.0, 100.0, None))
    {'train/loss': 2.0, 'train/accuracy': 0.25, 'test/loss': 1.0, 'test/accuracy': 0.5, 'lr': 0.1, 'seconds': 9.0, \
'samples_per_second': 100.0}
    """
    found = {}
    for field in fields(metrics):
        value = getattr(metrics, field.name)
        if value is not None and not math.isnan(value) and field.name not in _NOT_METRICS:
            data, _, quantity = field.name.partition("_")
            name = f"{_GROUPS[data]}/{quantity}" if data in _GROUPS else field.name
            found[name] = float(value)
    return found


def require(package: str, *, option: str, install: str) -> None:
    """Raises SinkError where `package`, which `option` needs, is not installed."""
    if importlib.util.find_spec(package) is None:
        raise SinkError(f"{option} needs the package {package}: {install}")


def check_folder(folder: Path, what: str) -> None:
    """Raises SinkError, which calls the folder `what`, where it cannot be made or written."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not os.path.isdir(there):
        raise SinkError(f"{what}: {there} is not a folder; name another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SinkError(f"{what}: the folder {there} cannot be written; name another folder")


def append(file: int, content: bytes) -> None:
    """Append to an open file in one call: where the disk is full, nothing. Raises OSError."""
    end = os.fstat(file).st_size
    try:
        if os.write(file, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(file, end)
        raise
