"""CIFAR-10, and the reader of CIFAR's files.

They are pickles: read here by an unpickler that knows arrays and nothing else, so that none can run code.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asapbench.data.cache import Arrays
from asapbench.data.published import DataFile, PublishedFiles, Source
from asapbench.errors import DataError
from asapbench.suite.entries import TRAIN_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RELEASED = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
"""The deviation is the mean of each image's own (0.247 by pixel). The released code uses it for CIFAR-100 too."""

_ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
"""All that the published files name."""

_FOLDER = "cifar-10-batches-py"
_FILES = (
    DataFile(f"{_FOLDER}/data_batch_1", 31_035_704, "md5:c99cafc152244af753f735de768cd75f"),
    DataFile(f"{_FOLDER}/data_batch_2", 31_035_320, "md5:d4bba439e000b95fd0a9bffe97cbabec"),
    DataFile(f"{_FOLDER}/data_batch_3", 31_035_999, "md5:54ebc095f3ab1f0389bbae665268c751"),
    DataFile(f"{_FOLDER}/data_batch_4", 31_035_696, "md5:634d18415352ddfa80567beed471001a"),
    DataFile(f"{_FOLDER}/data_batch_5", 31_035_623, "md5:482c414d41f54cd18b22e5b47cb7c3cb"),
    DataFile(f"{_FOLDER}/test_batch", 31_035_526, "md5:40351d587109b95175f43aff81a1287e"),
    DataFile(f"{_FOLDER}/batches.meta", 158, "md5:5ff9c542aee3614f3951f8cda6e48888"),
)


def read(root: Path) -> Arrays:
    """The five training files and the test file."""
    batches = [root / _FOLDER / f"data_batch_{number}" for number in range(1, 6)]
    train, test = (read_files(paths, labels="labels") for paths in (batches, [root / _FOLDER / "test_batch"]))
    return Arrays(*train, *test)


def read_files(paths: Sequence[Path], *, labels: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """uint8 images (N, 3, 32, 32) and int64 labels (N,) of some files, in order; `labels` is their key in the files.

    Raises DataError for a file that is not one of CIFAR's, OSError for one that cannot be read.
    """
    import numpy as np

    parts = [_one(path, labels) for path in paths]
    pixels = np.concatenate([images for images, _ in parts]).reshape(-1, 3, 32, 32)
    return pixels, np.array([label for _, found in parts for label in found], dtype=np.int64)


def _one(path: Path, labels: str) -> tuple[NDArray[np.uint8], list[int]]:
    import numpy as np

    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pickles are older than NumPy 2.4 likes
            held: dict[bytes, Any] = _Unpickler(stream, encoding="bytes").load()
        images, found = held[b"data"], held[labels.encode()]
    except (OSError, MemoryError):
        raise
    except Exception as error:  # an unpickler has no error of its own: it depends on the content
        raise DataError(f"{path} is damaged or not a CIFAR file ({error})") from error
    whole = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape[1:] == (3072,)
    if not whole or not isinstance(found, list) or not all(type(n) is int for n in found) or len(found) != len(images):
        raise DataError(f"{path} is not a CIFAR file: it does not hold images of 3072 bytes with a label each")
    return images, found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no image needs")
        return super().find_class(module, name)


entry = PublishedFiles(
    "cifar10",
    "CIFAR-10",
    "Krizhevsky 2009",
    options=(TRAIN_SIZE,),
    augment="crop_flip",
    fingerprint="8a8ed7096822518505824611014e03719298fac4d09421183ec6a10237e63be8",
    released=RELEASED,
    files=_FILES,
    sources=(
        Source(
            ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            "c58f30108f718f92721af3b95e74349a",
            place="cifar-10-python.tar.gz",
            holds=tuple(file.path for file in _FILES),
        ),
    ),
    read=read,
)
