"""CIFAR-100: files of CIFAR-10's kind, with the fine labels."""

from __future__ import annotations

from pathlib import Path

from asapbench.data.cache import Arrays
from asapbench.data.published import DataFile, PublishedFiles, Source
from asapbench.data.sets.cifar10 import RELEASED, read_files
from asapbench.suite.entries import TRAIN_SIZE

_FOLDER = "cifar-100-python"
_FILES = (
    DataFile(f"{_FOLDER}/train", 155_249_918, "md5:16019d7e3df5f24257cddd939b257f8d"),
    DataFile(f"{_FOLDER}/test", 31_049_707, "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
    DataFile(f"{_FOLDER}/meta", 1_473, "md5:7973b15100ade9c7d40fb424638fde48"),
)


def read(root: Path) -> Arrays:
    """The training file and the test file."""
    train, test = (read_files([root / _FOLDER / part], labels="fine_labels") for part in ("train", "test"))
    return Arrays(*train, *test)


entry = PublishedFiles(
    "cifar100",
    "CIFAR-100",
    "Krizhevsky 2009",
    options=(TRAIN_SIZE,),
    classes=100,
    augment="crop_flip",
    released=RELEASED,
    files=_FILES,
    sources=(
        Source(
            ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
            "eb9058c3a382ffc7106e4002c42a8d85",
            place="cifar-100-python.tar.gz",
            holds=tuple(file.path for file in _FILES),
        ),
    ),
    read=read,
)
