"""What every data set can do: say whether its files are there, and read them. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asapbench.data.cache import Arrays
from asapbench.suite.entries import DatasetEntry
from asapbench.suite.options import Choice


@dataclass(frozen=True)
class Dataset(DatasetEntry, ABC):
    """An entry of the catalog that can be read. `root` is the folder of the data sets."""

    @abstractmethod
    def check(self, dataset: Choice, root: Path) -> None:
        """Raises DataError when a file of `dataset` is missing or has changed. Quick: it reads no file again."""

    def located(self, dataset: Choice, known: Iterable[Choice]) -> Iterator[Choice]:
        """`dataset` at other places, those of the recorded data sets `known`; most data sets have none."""
        return iter(())

    @abstractmethod
    def arrays(self, dataset: Choice, root: Path) -> tuple[Arrays, str]:
        """The examples before `train_size` is applied, and their digest, from files that `check` has accepted.

        Raises DataError for damaged files, OSError.
        """

    @abstractmethod
    def fix(self, root: Path) -> str:
        """How to replace files that are missing or damaged, for the end of an error."""
