"""CIFAR's files are pickles: read here by an unpickler that knows arrays and nothing else, so none can run code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from asapbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
"""All that the published files name."""


def read(paths: Sequence[Path], *, labels: str) -> tuple[Tensor, Tensor]:
    """uint8 images (N, 3, 32, 32) and int64 labels (N,) of some files, in order; `labels` is what those go by in them.

    Raises DataError for a file that is not one of CIFAR's, OSError for one that cannot be read.
    """
    parts = [_one(path, labels) for path in paths]
    pixels = np.concatenate([images for images, _ in parts]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(pixels), torch.tensor([label for _, found in parts for label in found], dtype=torch.int64)


def _one(path: Path, labels: str) -> tuple[NDArray[np.uint8], list[int]]:
    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pickles are older than NumPy 2.4 likes
            held: dict[bytes, Any] = _Unpickler(stream, encoding="bytes").load()
        images, found = held[b"data"], held[labels.encode()]
    except (OSError, MemoryError):
        raise
    except Exception as error:  # an unpickler has no error of its own: what it meets decides
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
