"""The examples of a data set as verified tensors, with their statistics and fingerprint.

`load` returns only what was read from files whose contents are the expected ones: what is missing or damaged is a
DataError that names the file and how to fix it. The images are in a file that workers share (`cache`), which is read
whole at each load and used only while the sources are those it was made from. `batches` normalises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from asapbench.data.lookup import dataset_of
from asapbench.errors import AsapbenchError, DataError
from asapbench.suite.catalog import DATASETS, dataset_shape
from asapbench.suite.options import Choice
from asapbench.suite.plugin_modules import place_of
from asapbench.suite.plugins import provider

if TYPE_CHECKING:
    from numpy.typing import NDArray

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel: pixels in units of 0..1, floating-point values in their own."""

_CHUNK = 2_000
"""Images counted at a time: the pixels of a channel are copied into one block."""


@dataclass(frozen=True, eq=False)
class Images:
    """The used part of a data set, on the CPU: a subset has its own statistics and fingerprint. The tensors may be in a
    mapped file (`cache`).

    Images are uint8 or float32 (N, C, H, W), feature vectors float32 (N, C, 1, 1); labels int64 (N,) in 0..classes-1.
    `mean` and `std` are the mean and population standard deviation of the training images by channel; of pixels exactly
    and in units of 0..1. `fingerprint` is the SHA-256 (64 hexadecimal digits) over shapes, images and labels.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str


def load(choice: Choice, root: Path) -> Images:
    """Reads and verifies the data set; `train_size` keeps only the first training images.

    Raises DataError naming the file at fault and how to fix it, or a fingerprint that is not the catalog's; also for a
    `train_size` greater than the data set.
    """
    dataset = dataset_of(choice)
    if fault := dataset.beyond(choice):
        raise DataError(f"{choice.name}: {fault}")
    dataset.check(choice, root)
    try:
        held, fingerprint = dataset.arrays(choice, root)
    except OSError as error:
        fault = f"{error.filename or root} cannot be read ({error.strerror or error})"
        raise DataError(f"{choice.name}: {fault}: {dataset.fix(root)}") from error
    except (AsapbenchError, MemoryError):
        raise
    except Exception as error:  # the plug-in's own code
        plugin = provider("dataset", choice.name)
        where = place_of(error, plugin.source if plugin else "")
        said = f"{where}: the data set cannot be read: {type(error).__name__}: {error}"
        raise DataError(f"{choice.name}: {said}: correct it there") from error
    if limit := choice.integer("train_size"):
        held = replace(held, train_images=held.train_images[:limit], train_labels=held.train_labels[:limit])
        fingerprint = held.digest()
    held.require(dataset_shape(choice), name=choice.name)
    train_images, train_labels, test_images, test_labels = (torch.from_numpy(array) for array in held.all())
    (mean, std), classes = statistics(train_images), dataset_shape(choice).classes
    images = Images(
        train_images,
        train_labels,
        test_images,
        test_labels,
        classes=classes,
        mean=mean,
        std=std,
        fingerprint=fingerprint,
    )
    _require_fingerprint(choice, images, root)
    return images


def random_images(choice: Choice) -> Images:
    """Random images and labels in the numbers and shape of a data set: to measure speed where its files are missing."""
    shape, stream = dataset_shape(choice), torch.Generator().manual_seed(0)

    def split(count: int) -> tuple[Tensor, Tensor]:
        size = (count, shape.channels, shape.size, shape.size)
        pixels = torch.randint(256, size, generator=stream, dtype=torch.uint8)
        return pixels, torch.randint(shape.classes, (count,), generator=stream)

    # Of uniform pixels.
    mean, std = (0.5,) * shape.channels, (math.sqrt((256**2 - 1) / 12) / 255,) * shape.channels
    return Images(
        *split(shape.train), *split(shape.test), classes=shape.classes, mean=mean, std=std, fingerprint="random"
    )


def normalization(choice: Choice, images: Images, kind: str) -> Statistics:
    """Mean and standard deviation by channel to normalise with.

    `channel`: those of the training images; a channel that is constant keeps deviation 1. `released`: those of the
    paper's released code, which suites may name only for data sets that it has.
    """
    if kind == "channel":
        return images.mean, tuple(deviation or 1.0 for deviation in images.std)
    released = DATASETS[choice.name].released
    assert released is not None, "suite.grid refuses such a cell"
    return released


def statistics(images: Tensor) -> Statistics:
    """Mean and population standard deviation by channel of uint8 or float32 images (N, C, H, W)."""
    return _of_pixels(images) if images.dtype == torch.uint8 else _of_numbers(images)


def _of_pixels(images: Tensor) -> Statistics:
    """From exact integer sums."""
    mean, std = [], []
    for channel in range(images.shape[1]):
        found = torch.zeros(256, dtype=torch.int64)
        for first in range(0, len(images), _CHUNK):
            found += torch.bincount(images[first : first + _CHUNK, channel].flatten(), minlength=256)
        counts = found.tolist()
        number = sum(counts)
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value * value * count for value, count in enumerate(counts))
        mean.append(total / (255 * number))
        std.append(math.sqrt(number * squares - total * total) / (255 * number))
    return tuple(mean), tuple(std)


def _of_numbers(images: Tensor) -> Statistics:
    """In float64, added in an order that no processor changes: image by image, then by `math.fsum`."""
    flat = images.numpy().reshape(*images.shape[:2], -1)
    number = flat.shape[0] * flat.shape[2]

    def averages(sums: NDArray[np.float64]) -> tuple[float, ...]:
        return tuple(math.fsum(row.tolist()) / number for row in sums)

    mean = averages(flat.sum(axis=0, dtype=np.float64))
    squares = np.zeros(flat.shape[1:])
    for image in flat:
        squares += (image - np.array(mean)[:, None]) ** 2
    return mean, tuple(math.sqrt(variance) for variance in averages(squares))


def _require_fingerprint(choice: Choice, images: Images, root: Path) -> None:
    dataset = dataset_of(choice)
    expected = dataset.fingerprint
    if expected is not None and choice == dataset.choose() and images.fingerprint != expected:
        raise DataError(
            f"{choice.name}: the images in {root} are not those that cells are written for "
            f"(fingerprint {images.fingerprint[:12]}, not {expected[:12]}): {dataset.fix(root)}"
        )
