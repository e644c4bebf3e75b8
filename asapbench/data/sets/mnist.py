"""MNIST: four files of bytes behind a header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data.cache import Arrays
from asapbench.data.published import DataFile, PublishedFiles, Source
from asapbench.suite.entries import TRAIN_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RAW = "MNIST/raw"
_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
_SHA256 = (
    ("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
_PACKED_MD5 = (
    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "d53e105ee54ea40749a09fcbcd1e9432",
    "9fb629c4189551a2d022fa330f9573f3",
    "ec29112dd5afa0611ce80d1b7f02629c",
)


def read(root: Path) -> Arrays:
    """The four files. torchvision reads them too, but takes long to import."""
    return Arrays(*_part(root / _RAW, "train"), *_part(root / _RAW, "t10k"))


def _part(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images behind a header of 16 bytes, labels behind one of 8: the checksums say that these are the right files."""
    import numpy as np

    pixels = np.fromfile(folder / f"{part}-images-idx3-ubyte", dtype=np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.fromfile(folder / f"{part}-labels-idx1-ubyte", dtype=np.uint8, offset=8)
    return pixels, labels.astype(np.int64)


entry = PublishedFiles(
    "mnist",
    "MNIST",
    "LeCun et al. 1998",
    options=(TRAIN_SIZE,),
    channels=1,
    size=28,
    train=60_000,
    fingerprint="ff3e639edae27c505196f2f58f52a0114e60d2a675fe7c02897648350a5eeb7d",
    released=((0.1307,), (0.3081,)),
    files=tuple(DataFile(f"{_RAW}/{name}", size, f"sha256:{digest}") for name, size, digest in _SHA256),
    sources=tuple(
        Source(tuple(f"{m}{name}.gz" for m in _MIRRORS), md5, place=f"{_RAW}/{name}.gz", holds=(f"{_RAW}/{name}",))
        for (name, *_), md5 in zip(_SHA256, _PACKED_MD5, strict=True)
    ),
    read=read,
)
