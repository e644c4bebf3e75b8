"""The data set that a choice or a user names. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from asapbench.data.dataset import Dataset
from asapbench.data.published import Published
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS
from asapbench.suite.options import Choice
from asapbench.suite.plugins import unknown


def dataset_of(choice: Choice) -> Dataset:
    """The data set that `choice` names. Raises DataError for an entry without a reader."""
    entry = DATASETS[choice.name]
    if not isinstance(entry, Dataset):
        raise DataError(f"{choice.name} cannot be read: its entry must be an asapbench.data.dataset.Dataset")
    return entry


def check(choice: Choice, root: Path) -> None:
    """Raises DataError when a file that `choice` needs is missing or has another size. Reads no file whole."""
    dataset_of(choice).check(choice, root)


def located(choice: Choice, root: Path, recorded: Callable[[str], Sequence[Choice]]) -> Choice:
    """`choice` where its data are: at its own place, else at one that `recorded` knows for them by the entry's name.

    Raises DataError, of its own place, if they are at none.
    """
    try:
        check(choice, root)
        return choice
    except DataError:
        for other in dataset_of(choice).located(choice, recorded(choice.name)):
            with suppress(DataError):
                check(other, root)
                return other
        raise


def published() -> list[Published]:
    """The data sets that can be downloaded and verified, in the catalog's order."""
    return [entry for entry in DATASETS.values() if isinstance(entry, Published)]


def published_set(name: str) -> Published:
    """The published data set of this name. Raises DataError with the nearest name."""
    if name not in DATASETS:
        raise DataError(unknown("dataset", name))
    entry = DATASETS[name]
    if not isinstance(entry, Published):
        raise DataError(f"{name}: these are your own files, named by their path in a suite: nothing to fetch")
    return entry
