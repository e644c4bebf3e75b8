"""The user's own images: a folder for each class, or `train` and `test` (else `val`) with such folders.

The classes are in the order of their names; so are the images of a class, by their path in it. Without `train`, the
images of each class are split: the share `test_share` of them, spread evenly in that order, are test images. Training
images are in the order image 0 of every class, image 1 of every class, ...

Pillow crops each image to the square in its middle and resizes it to `size`, bilinear; an image of this size keeps its
pixels. The content is the files' bytes with their split, label and order; names matter only through the order.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data.cache import Arrays
from asapbench.data.own import OPTIONS, OwnData, missing
from asapbench.errors import DataError
from asapbench.suite.options import Choice, Option, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats that Pillow decodes itself: for others it may start a program."""
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Of at most 8 bits: Pillow would clip the values of others at 255."""
_TEST_SHARE = Option(
    "test_share", 0.2, "the share of each class that is tested, in a folder without train/", minimum=0.001, below=1
)

Classes = dict[str, list[str]]
"""By the class's name, in order: the paths of its images below the folder, in order."""
Rows = tuple[tuple[str, int], ...]
"""Images in order, as (path below the folder, label)."""


@dataclass(frozen=True)
class ImageFolder(OwnData):
    """The entry."""

    def sources(self, path: Path) -> Iterator[tuple[str, os.stat_result]]:
        """Every image."""
        for classes in _parts(path):
            for files in classes.values():
                yield from ((file, os.stat(f"{path}/{file}")) for file in files)

    def found(self, path: Path, dataset: Choice) -> Mapping[str, Value]:
        """Reads and decodes every image."""
        classes, train, test = _layout(path, dataset)
        content = hashlib.sha256()
        for line, _ in _decoded(path, train, test, None):
            content.update(line)
        return {"content": content.hexdigest(), "classes": classes, "train": len(train), "test": len(test)}

    def decoded(self, path: Path, dataset: Choice) -> tuple[Arrays, str]:
        """Images of `channels` x `size` x `size`, and the digest of the files they were decoded from."""
        import numpy as np

        _, train, test = _layout(path, dataset)
        shape = (dataset.integer("channels"), dataset.integer("size"), dataset.integer("size"))
        pixels = np.empty((len(train) + len(test), *shape), dtype=np.uint8)
        content = hashlib.sha256()
        for place, (line, image) in enumerate(_decoded(path, train, test, shape)):
            content.update(line)
            assert image is not None
            pixels[place] = image
        labels = (np.array([label for _, label in rows], dtype=np.int64) for rows in (train, test))
        return Arrays(pixels[: len(train)], next(labels), pixels[len(train) :], next(labels)), content.hexdigest()

    def decoder(self) -> str:
        """Pillow's version and its JPEG library's."""
        import PIL
        from PIL import features

        return f"{PIL.__version__} {features.version('jpg')}"


def _layout(path: Path, dataset: Choice) -> tuple[int, Rows, Rows]:
    """How many classes there are, the training images and the test images. Raises DataError."""
    share, parts = dataset.number("test_share"), _parts(path)
    if len(parts) == 1:
        train, test = _split(path, parts[0], share)
    elif share != _TEST_SHARE.default:
        raise DataError(f"{path}: it has train/ and test images of its own: leave test_share out")
    else:
        train, test = parts
    names = sorted(train)
    if names != sorted(test):
        only = min(set(names) ^ set(test))
        raise DataError(f"{path}: only one of the training and the test images has a class {only}: both need it")
    if len(names) < 2:
        raise DataError(f"{path}: it has images of {len(names)} class: a data set needs two or more class folders")
    return len(names), _rows(train, names), _rows(test, names)


def _parts(path: Path) -> list[Classes]:
    """The images of the folder, or of its training and its test folder. Raises DataError if there are none."""
    if not path.is_dir():
        raise missing(path, "folder")
    top = _folders(path)
    if "train" not in top or not _folders(path / "train"):
        return [_classes(path, path)]
    if not (tested := [name for name in ("test", "val") if name in top]):
        raise DataError(f"{path}: it has train/, but neither test/ nor val/: add one with the same class folders")
    return [_classes(path, path / part) for part in ("train", tested[0])]


def _classes(path: Path, folder: Path) -> Classes:
    found = {}
    for name in _folders(folder):
        files = sorted(file.relative_to(path).as_posix() for file in _images(folder / name))
        if not files:
            raise DataError(
                f"{folder / name}: this folder stands beside the class folders and holds no image "
                f"({', '.join(_ENDINGS)}): move or remove it, or add the images of its class"
            )
        found[name] = files
    if not found:
        raise DataError(f"{folder}: no class folders: put the images of each class into a folder of its own")
    return found


def _folders(path: Path) -> list[str]:
    """The names of the folders in `path` in order, without those that `_is_hidden`."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not _is_hidden(entry.name))


def _images(folder: Path) -> Iterator[Path]:
    """The images in the folder and in the folders below it."""
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (Path(where, name) for name in files if name.lower().endswith(_ENDINGS) and not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's data: `.ipynb_checkpoints`, or `__MACOSX` from an archive."""
    return name.startswith(".") or name == "__MACOSX"


def _split(path: Path, classes: Classes, share: float) -> tuple[Classes, Classes]:
    """Spreads the test images evenly over each class: with a share of 0.2, every fifth image; at least one."""
    train: Classes = {}
    test: Classes = {}
    for name, files in classes.items():
        count = len(files)
        if count < 2:
            raise DataError(f"{path / name}: one image: a class needs one to train on and one to test on")
        tested = min(max(round(count * share), 1), count - 1)
        held_out = [(number + 1) * tested // count > number * tested // count for number in range(count)]
        train[name] = [file for file, out in zip(files, held_out, strict=True) if not out]
        test[name] = [file for file, out in zip(files, held_out, strict=True) if out]
    return train, test


def _rows(classes: Classes, names: Sequence[str]) -> Rows:
    """Image 0 of every class, image 1 of every class, ...: any first part has all classes."""
    longest = max(map(len, classes.values()))
    return tuple(
        (classes[name][number], label)
        for number in range(longest)
        for label, name in enumerate(names)
        if number < len(classes[name])
    )


def _decoded(
    path: Path, train: Rows, test: Rows, shape: tuple[int, int, int] | None
) -> Iterator[tuple[bytes, NDArray[np.uint8] | None]]:
    """For each image its line of the content, and its pixels unless `shape` is None."""

    def one(row: tuple[str, str, int]) -> tuple[bytes, NDArray[np.uint8] | None]:
        part, file, label = row
        content = (path / file).read_bytes()
        line = f"{part} {label} {hashlib.sha256(content).hexdigest()}\n".encode()
        return line, _pixels(path / file, content, shape)

    rows = [(part, *row) for part, rows in (("train", train), ("test", test)) for row in rows]
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # of Pillow, on metadata that is not used
        yield from pool.map(one, rows)


def _pixels(file: Path, content: bytes, shape: tuple[int, int, int] | None) -> NDArray[np.uint8] | None:
    """The image as (C, H, W). Raises DataError for one that cannot be decoded."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            opened.load()
            if opened.mode not in _MODES:
                raise DataError(f"{file}: pixels of mode {opened.mode}: convert the image to 8 bits a channel")
            if shape is None:
                return None
            channels, size, _ = shape
            side = min(opened.size)
            left, top = ((length - side) // 2 for length in opened.size)
            square = opened.convert("RGB" if channels == 3 else "L").crop((left, top, left + side, top + side))
            resized = square.resize((size, size), Image.Resampling.BILINEAR)
            return np.asarray(resized).reshape(size, size, channels).transpose(2, 0, 1)
    except (OSError, ValueError, SyntaxError, struct.error, EOFError, Image.DecompressionBombError) as error:
        reason = "of no format that it knows" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(f"{file}: Pillow cannot decode this image ({reason}): replace or remove it") from error


entry = ImageFolder(
    "imagefolder",
    "ImageFolder",
    "your own images, in a folder for each class",
    options=(
        *OPTIONS,
        Option("size", 32, "rows and columns that every image is resized to", minimum=4, below=1025),
        Option("channels", 3, "3: colour, 1: grey", choices=(1, 3)),
        _TEST_SHARE,
    ),
    found_by=("test_share",),
)
