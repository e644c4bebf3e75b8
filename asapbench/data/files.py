"""Where the files of each data set stand and how large they are. Free of torch; nothing here reads a whole file.

The layout is torchvision's, so that data it has downloaded are found; Tiny ImageNet keeps the layout of its archive.
Whether the bytes are right is the business of `integrity`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asapbench.data import tiny_imagenet
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS, dataset_shape
from asapbench.suite.options import Choice, nearest

ENVIRONMENT = "ASAPBENCH_DATA"
OWN_FOLDER = ".asapbench"
"""Inside the data root: locks, downloads under way, the decoded images that workers share."""
LISTED = 3
"""How many file names an error spells out."""


@dataclass(frozen=True)
class DataFile:
    """One file: its path below the data root and its size in bytes."""

    path: str
    size: int


_CIFAR10 = (
    ("data_batch_1", 31_035_704),
    ("data_batch_2", 31_035_320),
    ("data_batch_3", 31_035_999),
    ("data_batch_4", 31_035_696),
    ("data_batch_5", 31_035_623),
    ("test_batch", 31_035_526),
    ("batches.meta", 158),
)
_CIFAR100 = (("train", 155_249_918), ("test", 31_049_707), ("meta", 1_473))
_MNIST = (
    ("train-images-idx3-ubyte", 47_040_016),
    ("train-labels-idx1-ubyte", 60_008),
    ("t10k-images-idx3-ubyte", 7_840_016),
    ("t10k-labels-idx1-ubyte", 10_008),
)

FILES: dict[str, tuple[DataFile, ...]] = {
    "digits": (),
    "mnist": tuple(DataFile(f"MNIST/raw/{name}", size) for name, size in _MNIST),
    "svhn": (DataFile("train_32x32.mat", 182_040_794), DataFile("test_32x32.mat", 64_275_384)),
    "cifar10": tuple(DataFile(f"cifar-10-batches-py/{name}", size) for name, size in _CIFAR10),
    "cifar100": tuple(DataFile(f"cifar-100-python/{name}", size) for name, size in _CIFAR100),
}
"""Every file of each data set but Tiny ImageNet, whose 120,000 stand in `tiny_imagenet`."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a file: `path` below the data root, and what is wrong as the end of a sentence."""

    path: str
    what: str


MISSING = "missing"


def data_root(given: str | Path | None = None) -> Path:
    """Where the data are: `given` (the option `--data`), else ASAPBENCH_DATA, else `data` in the working folder.

    Raises DataError where that is the home of a user that there is not.
    """
    root = Path(given or os.environ.get(ENVIRONMENT) or "data")
    try:
        return root.expanduser()
    except RuntimeError as error:
        raise DataError(f"{root}: there is no such user: name the folder of the data sets with --data") from error


def known(name: str) -> str:
    """`name`, if it is a data set's. Raises DataError with the nearest name."""
    if name not in DATASETS:
        raise DataError(f'unknown data set "{name}"{nearest(name, DATASETS)}: there are {", ".join(DATASETS)}')
    return name


def locate(name: str, root: Path) -> Path | None:
    """The folder below `root` that holds the files of data set `name`; None for one that needs no files."""
    if name == "tiny_imagenet":
        return root / tiny_imagenet.FOLDER
    return (root / FILES[known(name)][0].path).parent if FILES[known(name)] else None


def check(dataset: Choice, root: Path) -> None:
    """Raise DataError when a file of `dataset` is missing or has another size than it should. Reads no file whole.

    Of Tiny ImageNet only the classes that the choice uses are looked at.
    """
    found = faults(dataset, root)
    if not found:
        return
    error = damaged(dataset.name, root, found)
    if dataset.name == "tiny_imagenet" and (classes := tiny_imagenet.complete_classes(root)) > 1:
        here = f'dataset = {{ name = "tiny_imagenet", classes = {classes} }}'
        raise DataError(f"{error}, or keep to the classes that are here: {here}")
    raise error


def faults(dataset: Choice, root: Path) -> list[Fault]:
    """What `check` finds wrong, file by file."""
    if dataset.name == "tiny_imagenet":
        found = tiny_imagenet.missing(root, dataset_shape(dataset).classes)
        return [Fault(path, what) for path, what in found]
    return [fault for file in FILES[known(dataset.name)] if (fault := _size_fault(file, root)) is not None]


def nothing_there(name: str, found: list[Fault]) -> bool:
    """Whether the faults `found` say that no file of data set `name` is there at all."""
    if name == "tiny_imagenet":
        return found == [Fault(tiny_imagenet.FOLDER, MISSING)]
    return bool(found) and len(found) == len(FILES[name]) and all(fault.what == MISSING for fault in found)


def _size_fault(file: DataFile, root: Path) -> Fault | None:
    try:
        status = (root / file.path).stat()
    except FileNotFoundError:
        return Fault(file.path, MISSING)
    except OSError as error:
        return Fault(file.path, f"unreadable ({error.strerror})")
    if not (root / file.path).is_file():
        return Fault(file.path, "not a file")
    if status.st_size < file.size:
        return Fault(file.path, f"cut short ({status.st_size} of {file.size} bytes)")
    if status.st_size > file.size:
        return Fault(file.path, f"too long ({status.st_size} instead of {file.size} bytes)")
    return None


def mend(name: str, root: Path) -> str:
    """The command that fetches a data set again, to be put at the end of an error."""
    return f'run "asapbench data prepare {name} --data {shlex.quote(str(root))}"'


def damaged(name: str, root: Path, found: Iterable[Fault]) -> DataError:
    """The error that names the files at fault, what is wrong with them, and the mending command."""
    return DataError(f"{name}: {describe(root, found)}: {mend(name, root)}")


def describe(root: Path, found: Iterable[Fault]) -> str:
    """`data/x/a, data/x/b and 3 more are missing; data/x/c is damaged`."""
    by_fault: dict[str, list[str]] = {}
    for fault in found:
        by_fault.setdefault(fault.what, []).append(str(root / fault.path))
    return "; ".join(_sentence(paths, what) for what, paths in by_fault.items())


def _sentence(paths: list[str], what: str) -> str:
    if len(paths) == 1:
        return f"{paths[0]} is {what}"
    named, rest = paths[:LISTED], len(paths) - LISTED
    if rest > 0:
        return f"{', '.join(named)} and {rest} more are {what}"
    return f"{', '.join(named[:-1])} and {named[-1]} are {what}"
