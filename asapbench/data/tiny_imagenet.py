"""Tiny ImageNet: the folders of its archive, and their images decoded. Free of torch.

A subset is the first so many classes of `wnids.txt`; the label is the class's line there. Training images are in the
order image 0 of every class, image 1 of every class, ..., so that the first so many are spread over the classes; the
validation images (the test set here, as everywhere) are in the order of `val_annotations.txt`.
"""

from __future__ import annotations

import bisect
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data import cache
from asapbench.data.cache import Arrays

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "tiny-imagenet-200"
MANIFEST = ".asapbench/tiny_imagenet.crc"
"""Written by `prepare` from the verified archive: a line `crc32 size path` for each file."""
CLASSES, TRAIN_PER_CLASS, TEST_PER_CLASS, SIDE = 200, 500, 50, 64
WNIDS, ANNOTATIONS = f"{FOLDER}/wnids.txt", f"{FOLDER}/val/val_annotations.txt"
TEST_FOLDER = f"{FOLDER}/val/images"


class UndecodableError(Exception):
    """A file that is not what it should be: `path` below the root, and what is wrong."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} is {what}")
        self.path, self.what = path, what


@dataclass(frozen=True)
class Layout:
    """The images of a subset as (path below the root, label), in their order."""

    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]

    def paths(self) -> Iterator[str]:
        """Every image, training images first."""
        return (path for path, _ in chain(self.train, self.test))


def layout(root: Path, classes: int) -> Layout:
    """Which images the first `classes` classes have. Raises UndecodableError on a text file that is damaged."""
    names = _lines(root, WNIDS)[:classes]
    if len(names) < classes:
        raise UndecodableError(WNIDS, f"cut short ({len(names)} of {classes} classes)")
    label = {name: number for number, name in enumerate(names)}
    train = tuple(
        (f"{FOLDER}/train/{name}/images/{name}_{number}.JPEG", label[name])
        for number in range(TRAIN_PER_CLASS)
        for name in names
    )
    rows = (line.split("\t") for line in _lines(root, ANNOTATIONS))
    test = tuple((f"{TEST_FOLDER}/{row[0]}", label[row[1]]) for row in rows if len(row) > 1 and row[1] in label)
    if len(test) != classes * TEST_PER_CLASS:
        raise UndecodableError(
            ANNOTATIONS,
            f"damaged ({len(test)} images of these classes instead of {classes * TEST_PER_CLASS})",
        )
    return Layout(train, test)


def _lines(root: Path, path: str) -> list[str]:
    try:
        return (root / path).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise UndecodableError(path, "missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UndecodableError(path, f"unreadable ({error})") from error


def missing(root: Path, classes: int) -> list[tuple[str, str]]:
    """(path, what is wrong) for every file of the first `classes` classes that is missing, empty or of another size.

    The sizes are known where `prepare` left its manifest. A class without any image counts as one: its folder.
    """
    try:
        wanted = layout(root, classes)
    except UndecodableError as error:
        if error.path == WNIDS and error.what == "missing":
            return [(FOLDER, "missing")]
        return [(error.path, error.what)]
    sizes = _sizes(root, wanted)
    known = manifest(root)
    found: dict[str, str] = {}
    for path in wanted.paths():
        folder = os.path.dirname(path)
        if folder not in sizes:
            found[folder] = "missing"
        elif (fault := _size_fault(sizes[folder].get(os.path.basename(path)), known.get(path))) is not None:
            found[path] = fault
    return list(found.items())


def _size_fault(status: os.stat_result | None, known: tuple[int, int] | None) -> str | None:
    if status is None:
        return "missing"
    if known is not None and status.st_size != known[1]:
        return f"damaged ({status.st_size} bytes instead of {known[1]})"
    return "empty" if status.st_size == 0 else None


def _sizes(root: Path, wanted: Layout) -> dict[str, dict[str, os.stat_result]]:
    """By folder, by file name; a folder that cannot be listed is left out."""
    sizes: dict[str, dict[str, os.stat_result]] = {}
    for folder in {os.path.dirname(path) for path in wanted.paths()}:
        try:
            with os.scandir(root / folder) as entries:
                sizes[folder] = {entry.name: entry.stat() for entry in entries if entry.is_file()}
        except OSError:
            continue
    return sizes


def complete_classes(root: Path) -> int:
    """How many leading classes of `wnids.txt` are all there: what the option `classes` may be at most."""
    try:
        most = min(len(_lines(root, WNIDS)), CLASSES)
    except UndecodableError:
        return 0
    if not missing(root, most):
        return most
    return bisect.bisect_left(range(1, most), True, key=lambda count: bool(missing(root, count)))


def manifest(root: Path) -> Mapping[str, tuple[int, int]]:
    """(crc32, size in bytes) by path, as `prepare` wrote them; empty where it did not unpack the archive."""
    try:
        lines = (root / MANIFEST).read_text(encoding="utf-8").splitlines()
        rows = (line.split(" ", 2) for line in lines)
        return {path: (int(crc, 16), int(size)) for crc, size, path in rows}
    except (OSError, ValueError):
        return {}


def decode(root: Path, wanted: Layout) -> Arrays:
    """Every image of `wanted`, decoded. Raises UndecodableError for the first that is damaged or missing."""
    import numpy as np

    known = manifest(root)

    def images(rows: tuple[tuple[str, int], ...]) -> NDArray[np.uint8]:
        pixels = np.empty((len(rows), 3, SIDE, SIDE), dtype=np.uint8)
        for place, (path, _) in enumerate(rows):
            pixels[place] = decode_image(root, path, crc=known[path][0] if path in known else None)
        return pixels

    def labels(rows: tuple[tuple[str, int], ...]) -> NDArray[np.int64]:
        return np.array([label for _, label in rows], dtype=np.int64)

    return Arrays(images(wanted.train), labels(wanted.train), images(wanted.test), labels(wanted.test))


def decode_image(root: Path, path: str, *, crc: int | None) -> NDArray[np.uint8]:
    """One image as (3, 64, 64); grey ones get three equal channels. Raises UndecodableError."""
    import io

    import numpy as np
    from PIL import Image

    try:
        content = (root / path).read_bytes()
        if crc is not None and zlib.crc32(content) != crc:
            raise UndecodableError(path, "damaged (checksum)")
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise UndecodableError(path, "missing") from None
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise UndecodableError(path, "damaged (not a whole JPEG image)") from error
    if pixels.shape != (SIDE, SIDE, 3):
        raise UndecodableError(path, f"damaged ({pixels.shape[1]}x{pixels.shape[0]} pixels, not {SIDE}x{SIDE})")
    return pixels.transpose(2, 0, 1)


def stamp(root: Path, wanted: Layout) -> str:
    """What the decoded images depend on: the files, their order and labels, and the decoder."""
    import PIL
    from PIL import features

    sizes = _sizes(root, wanted)

    def sources() -> Iterator[tuple[str, os.stat_result]]:
        for path, label in chain(wanted.train, wanted.test):
            status = sizes.get(os.path.dirname(path), {}).get(os.path.basename(path))
            if status is None:
                raise UndecodableError(path, "missing")
            yield f"{path} {label}", status

    return cache.stamp(f"{PIL.__version__} {features.version('jpg')}", sources())
