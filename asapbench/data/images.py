"""The images of a data set as verified uint8 tensors, with their statistics and fingerprint.

`load` returns only what was read from files whose contents are the published ones: what is missing or damaged is a
DataError that names the file and the command that fixes it. The images lie in a file that workers share (`cache`),
which is read whole at each load and used only while the sources are those it was made from. Normalisation is left to
`batches`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from asapbench.data import cache, cifar, files, tiny_imagenet
from asapbench.data.cache import Arrays
from asapbench.data.files import Fault
from asapbench.data.integrity import complete, require_sound
from asapbench.errors import DataError
from asapbench.suite.catalog import DATASETS, NORMALIZATIONS, beyond_data, dataset_shape
from asapbench.suite.options import Choice, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, pixels in units of 0..1."""

RELEASED: dict[str, Statistics] = {
    name: entry.released for name, entry in DATASETS.items() if entry.released is not None
}
"""What the paper's released code normalises with, by data set."""

_CHUNK = 2_000
"""Images counted at a time: a channel's pixels are copied to lie together."""


@dataclass(frozen=True, eq=False)
class Images:
    """What is used of a data set, on the CPU: a subset has its own statistics and fingerprint. The tensors may lie in a
    mapped file (`cache`).

    Images are uint8 (N, C, H, W), labels int64 (N,) in 0..classes-1. `mean` and `std` are the exact mean and population
    standard deviation of the pixels of the training images, by channel, in units of 0..1. `fingerprint` is the SHA-256
    (64 hexadecimal digits) over shapes, images and labels.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str


_Split = tuple[Tensor, Tensor]


def load(dataset: Choice, root: Path) -> Images:
    """Read and verify `dataset`; with `train_size` only its first so many training images.

    Raises DataError naming the file at fault and the command that fixes it, or a fingerprint that is not the catalog's;
    also where `train_size` is more than there is.
    """
    if fault := beyond_data(dataset):
        raise DataError(f"{dataset.name}: {fault}")
    files.check(dataset, root)
    try:
        held, fingerprint = _arrays(dataset, root)
    except OSError as error:
        fault = f"{error.filename or root} cannot be read ({error.strerror or error})"
        raise DataError(f"{dataset.name}: {fault}: {files.mend(dataset.name, root)}") from error
    if limit := dataset.integer("train_size"):
        held = replace(held, train_images=held.train_images[:limit], train_labels=held.train_labels[:limit])
        fingerprint = held.digest()
    train_images, train_labels, test_images, test_labels = (torch.from_numpy(array) for array in held.all())
    mean, std = pixel_statistics(train_images)
    images = Images(
        train_images,
        train_labels,
        test_images,
        test_labels,
        classes=dataset_shape(dataset).classes,
        mean=mean,
        std=std,
        fingerprint=fingerprint,
    )
    _require_as_declared(dataset, images, root)
    return images


def random_images(dataset: Choice) -> Images:
    """Random images and labels in the numbers and shape of `dataset`: to measure speed where no data are."""
    shape, stream = dataset_shape(dataset), torch.Generator().manual_seed(0)

    def split(count: int) -> _Split:
        size = (count, shape.channels, shape.size, shape.size)
        pixels = torch.randint(256, size, generator=stream, dtype=torch.uint8)
        return pixels, torch.randint(shape.classes, (count,), generator=stream)

    # Of uniform pixels.
    mean, std = (0.5,) * shape.channels, (math.sqrt((256**2 - 1) / 12) / 255,) * shape.channels
    return Images(
        *split(shape.train),
        *split(shape.test),
        classes=shape.classes,
        mean=mean,
        std=std,
        fingerprint="random",
    )


def normalization(dataset: Choice, images: Images, kind: str) -> Statistics:
    """Mean and standard deviation by channel to normalise with, pixels in units of 0..1.

    `channel`: those of the training images. `released`: those of the paper's released code. Raises DataError where the
    released code has none.
    """
    if kind == "channel":
        return images.mean, images.std
    if kind != "released":
        raise DataError(f'unknown normalization "{kind}"{nearest(kind, NORMALIZATIONS)}')
    if dataset.name not in RELEASED:
        raise DataError(
            f'{dataset.name} has no normalization "released": the released code has one for '
            f'{", ".join(RELEASED)}; use normalization = "channel"'
        )
    return RELEASED[dataset.name]


def pixel_statistics(images: Tensor) -> Statistics:
    """Mean and population standard deviation of uint8 images (N, C, H, W) by channel, from exact integer sums."""
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


def _require_as_declared(dataset: Choice, images: Images, root: Path) -> None:
    shape = dataset_shape(dataset)
    declared = [(count, shape.channels, shape.size, shape.size) for count in (shape.train, shape.test)]
    found = [tuple(images.train_images.shape), tuple(images.test_images.shape)]
    if found != declared:
        raise DataError(f"{dataset.name}: the images are {found}, not {declared}: {files.mend(dataset.name, root)}")
    expected = DATASETS[dataset.name].fingerprint
    if expected is not None and dataset == complete(dataset.name) and images.fingerprint != expected:
        raise DataError(
            f"{dataset.name}: the images in {root} are not those that cells are written for "
            f"(fingerprint {images.fingerprint[:12]}, not {expected[:12]}): {files.mend(dataset.name, root)}"
        )


def _arrays(dataset: Choice, root: Path) -> tuple[Arrays, str]:
    """The set, complete but for Tiny ImageNet's `classes`, and its digest; the files are of the right size."""
    if dataset.name == "digits":
        found = _digits()
        return found, found.digest()
    if dataset.name == "tiny_imagenet":
        return _tiny_imagenet(root, dataset_shape(dataset).classes)
    if dataset.name not in _READERS:
        raise DataError(f"{files.known(dataset.name)} cannot be read by this version of asapbench")
    sources = ((file.path, (root / file.path).stat()) for file in files.FILES[dataset.name])

    def read() -> Arrays:
        require_sound(dataset, root)
        (train, labels), (test, test_labels) = _READERS[dataset.name](root)
        return Arrays(train.numpy(), labels.numpy(), test.numpy(), test_labels.numpy())

    return cache.arrays(
        root / files.OWN_FOLDER,
        dataset.name,
        stamp=cache.stamp(_REVISION, sources),
        expected=DATASETS[dataset.name].fingerprint,
        read=read,
    )


def _cifar10(root: Path) -> tuple[_Split, _Split]:
    folder = root / "cifar-10-batches-py"
    batches = [folder / f"data_batch_{number}" for number in range(1, 6)]
    return cifar.read(batches, labels="labels"), cifar.read([folder / "test_batch"], labels="labels")


def _cifar100(root: Path) -> tuple[_Split, _Split]:
    train, test = (root / "cifar-100-python" / part for part in ("train", "test"))
    return cifar.read([train], labels="fine_labels"), cifar.read([test], labels="fine_labels")


def _svhn(root: Path) -> tuple[_Split, _Split]:
    return read_svhn(root / "train_32x32.mat"), read_svhn(root / "test_32x32.mat")


def _digits() -> Arrays:
    """Values 0..16 scaled to 0..255; every fifth example is a test example."""
    table = _digits_table()
    pixels = ((table[:, :-1].reshape(-1, 1, 8, 8) * 255 + 8) // 16).astype(np.uint8)
    labels = table[:, -1]
    held_out = np.arange(len(labels)) % 5 == 4
    return Arrays(pixels[~held_out], labels[~held_out], pixels[held_out], labels[held_out])


def _digits_table() -> NDArray[np.int64]:
    """(1797, 65): 64 values and the label of each example, as scikit-learn has them.

    Its file is read directly, because to import scikit-learn takes a worker a second; a version that keeps it elsewhere
    is asked for the data. The fingerprint tells whether they are the right ones.
    """
    path = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    if path.is_file():
        return np.loadtxt(path, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    return np.column_stack([values, labels]).astype(np.int64)


def _mnist(root: Path) -> tuple[_Split, _Split]:
    return _mnist_part(root, "train"), _mnist_part(root, "t10k")


def _mnist_part(root: Path, part: str) -> _Split:
    # Bytes behind a header of 16 and of 8 (the SHA-256 are right): torchvision, which reads them too, loads for long.
    folder = root / "MNIST" / "raw"
    pixels = np.fromfile(folder / f"{part}-images-idx3-ubyte", dtype=np.uint8, offset=16).reshape(-1, 1, 28, 28)
    labels = np.fromfile(folder / f"{part}-labels-idx1-ubyte", dtype=np.uint8, offset=8)
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))


def read_svhn(path: Path) -> _Split:
    """The images (N, 3, 32, 32) and labels (N,) of one `.mat` file of SVHN; the digit 0, there label 10, is class 0.

    Raises DataError for a file that is missing, or not what it should be.
    """
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
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))), torch.from_numpy(labels % 10)


def _tiny_imagenet(root: Path, classes: int) -> tuple[Arrays, str]:
    try:
        wanted = tiny_imagenet.layout(root, classes)
        return cache.arrays(
            root / files.OWN_FOLDER,
            f"tiny_imagenet-{classes}",
            stamp=tiny_imagenet.stamp(root, wanted),
            expected=None,
            read=lambda: tiny_imagenet.decode(root, wanted),
        )
    except tiny_imagenet.UndecodableError as error:
        raise files.damaged("tiny_imagenet", root, [Fault(error.path, error.what)]) from error


_READERS: dict[str, Callable[[Path], tuple[_Split, _Split]]] = {
    "mnist": _mnist,
    "svhn": _svhn,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
}
"""Read a complete data set, (train, test), from files that `require_sound` has seen."""
_REVISION = "1"
"""Of the readers: what another one made is not used."""
