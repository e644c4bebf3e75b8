"""The user's own NumPy arrays, in a file: `x_train`, `y_train`, `x_test` and `y_test`, as `numpy.savez` writes them.

`x` are uint8 images or floating-point numbers, kept as float32: (N, H, W), (N, C, H, W) or (N, H, W, C) with H = W, or
feature vectors (N, D). `y` are whole numbers 0..K-1. The content is that of the arrays, not of the packed file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asapbench.data.cache import Arrays
from asapbench.data.own import OPTIONS, OwnData, missing
from asapbench.errors import DataError
from asapbench.suite.options import Choice, Option, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMES = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Npz(OwnData):
    """The entry."""

    def sources(self, path: Path) -> Iterator[tuple[str, os.stat_result]]:
        """The file."""
        if not path.is_file():
            raise missing(path, "file")
        yield "npz", path.stat()

    def found(self, path: Path, dataset: Choice) -> Mapping[str, Value]:
        """Reads every array."""
        arrays = read(path)
        _, channels, size, _ = arrays.train_images.shape
        return {
            "content": arrays.digest(),
            "classes": int(arrays.train_labels.max()) + 1,
            "train": len(arrays.train_labels),
            "test": len(arrays.test_labels),
            "channels": channels,
            "size": size,
            "values": arrays.train_images.dtype.name,
        }

    def decoded(self, path: Path, dataset: Choice) -> tuple[Arrays, str]:
        """The arrays, and their digest."""
        arrays = read(path)
        return arrays, arrays.digest()


def read(path: Path) -> Arrays:
    """The arrays of a file. Raises DataError for one that holds something else."""
    x_train, y_train, x_test, y_test = _loaded(path)
    train, test = _examples(path, "x_train", x_train), _examples(path, "x_test", x_test)
    if (train.dtype, train.shape[1:]) != (test.dtype, test.shape[1:]):
        raise DataError(
            f"{path}: x_train is {x_train.dtype} {x_train.shape} and x_test {x_test.dtype} {x_test.shape}: save both "
            "with the same type and shape"
        )
    labels = _labels(path, "y_train", y_train, len(train)), _labels(path, "y_test", y_test, len(test))
    classes, tested = ({int(label) for label in found} for found in labels)
    if classes != set(range(len(classes))) or len(classes) < 2:
        raise DataError(
            f"{path}: y_train holds {_listed(classes)}: number the classes 0, 1, ..., two at least, each with examples"
        )
    if tested != classes:
        raise DataError(
            f"{path}: y_test holds {_listed(tested)} and y_train {_listed(classes)}: both need examples of every class"
        )
    return Arrays(train, labels[0], test, labels[1])


def _loaded(path: Path) -> list[NDArray[Any]]:
    import numpy as np

    try:
        with path.open("rb") as stream:  # opened here, because NumPy does not close a file that it cannot read
            held = np.load(stream, allow_pickle=False)  # pickled objects could run code
            if not isinstance(held, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: one array, not an .npz file: save it with numpy.savez")
            if missing := [name for name in _NAMES if name not in held]:
                has = ", ".join(held.files) or "nothing"
                raise DataError(f"{path}: {', '.join(missing)} missing (it has {has}): save {', '.join(_NAMES)}")
            return [held[name] for name in _NAMES]
    except (DataError, OSError):
        raise
    except Exception as error:  # NumPy and zipfile have no error of their own for every kind of damage
        raise DataError(
            f"{path}: not an .npz file of plain arrays ({error}): save numbers, not objects, with numpy.savez"
        ) from error


def _examples(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    """`array` as uint8 or float32 (N, C, H, W). Raises DataError."""
    import numpy as np

    shape = array.shape
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise DataError(f"{path}: {name} is {array.dtype}: save pixels as uint8, other numbers as float32")
    if not array.size:
        raise DataError(f"{path}: {name} is {shape}: it holds no numbers")
    if len(shape) == 2:
        array = array[:, :, None, None]
    elif len(shape) == 3 and shape[1] == shape[2]:
        array = array[:, None]
    elif len(shape) == 4 and shape[1] == shape[2] != shape[3]:
        array = array.transpose(0, 3, 1, 2)
    elif len(shape) != 4 or shape[2] != shape[3]:
        raise DataError(
            f"{path}: {name} is {shape}: save square images as (N, H, W), (N, C, H, W) or (N, H, W, C), features as "
            "(N, D)"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(f"{path}: {name} holds values that are not finite float32 numbers: remove or replace them")
    return numbers


def _labels(path: Path, name: str, array: NDArray[Any], count: int) -> NDArray[np.int64]:
    import numpy as np

    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise DataError(
            f"{path}: {name} is {array.dtype} {array.shape}: save {count} whole numbers, one for each example"
        )
    return array.astype(np.int64)


def _listed(labels: set[int]) -> str:
    shown = sorted(labels)[:6]
    return ", ".join(map(str, shown)) + (f", ... ({len(labels)} in all)" if len(labels) > len(shown) else "")


entry = Npz(
    "npz",
    "Npz",
    "your own arrays, in a file of NumPy",
    options=(
        *OPTIONS,
        *(Option(name, 0, "read from the data", minimum=0, role="found") for name in ("channels", "size")),
        Option("values", "uint8", "read from the data", choices=("uint8", "float32"), role="found"),
    ),
)
