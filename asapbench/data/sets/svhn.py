"""SVHN: two files of MATLAB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from asapbench.data.cache import Arrays
from asapbench.data.published import DataFile, PublishedFiles, Source
from asapbench.errors import DataError
from asapbench.suite.entries import TRAIN_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FILES = (
    DataFile("train_32x32.mat", 182_040_794, "md5:e26dedcc434d2e4c54c9b2d4a06d8373"),
    DataFile("test_32x32.mat", 64_275_384, "md5:eb5a983be6a315427106f1b164d9cef3"),
)


def read(root: Path) -> Arrays:
    """Both files."""
    train, test = (read_file(root / file.path) for file in _FILES)
    return Arrays(*train, *test)


def read_file(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images (N, 3, 32, 32) and labels (N,) of one `.mat` file; the digit 0, there label 10, is class 0.

    Raises DataError for a file that is missing, or not what it should be.
    """
    import numpy as np
    from scipy.io import loadmat

    try:
        held: dict[str, Any] = loadmat(str(path), variable_names=["X", "y"])
        pixels, labels = held["X"], held["y"].astype(np.int64).reshape(-1)
    except FileNotFoundError:
        raise DataError(f"svhn: {path} is missing") from None
    except MemoryError:
        raise
    except Exception as error:  # scipy has no error of its own for every kind of damage
        raise DataError(f"svhn: {path} is damaged or not an SVHN file ({error})") from error
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)):
        raise DataError(f"svhn: {path} is not an SVHN file: X is {pixels.dtype} {pixels.shape}")
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels % 10


entry = PublishedFiles(
    "svhn",
    "SVHN",
    "Netzer et al. 2011",
    options=(TRAIN_SIZE,),
    train=73_257,
    test=26_032,
    released=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    files=_FILES,
    sources=tuple(
        Source(
            (f"http://ufldl.stanford.edu/housenumbers/{file.path}",),
            file.digest.removeprefix("md5:"),
            place=file.path,
            holds=(file.path,),
        )
        for file in _FILES
    ),
    read=read,
)
