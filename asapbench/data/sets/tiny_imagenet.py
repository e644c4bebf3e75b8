"""Tiny ImageNet: the folders of its archive, and their images decoded.

A subset is the first classes of `wnids.txt`; the label is the class's line there. Training images are in the
order image 0 of every class, image 1 of every class, ..., so that any first part has all classes; the
validation images (the test set here, as in other published work) are in the order of `val_annotations.txt`.
"""

from __future__ import annotations

import bisect
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.data import cache
from asapbench.data.cache import Arrays
from asapbench.data.files import MISSING, OWN_FOLDER, Fault
from asapbench.data.published import Published, Source, put
from asapbench.durable import write_whole
from asapbench.suite.entries import TRAIN_SIZE
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "tiny-imagenet-200"
MANIFEST = f"{OWN_FOLDER}/tiny_imagenet.crc"
"""Written when the verified archive is unpacked: a line `crc32 size path` for each file."""
CLASSES, TRAIN_PER_CLASS, TEST_PER_CLASS, SIDE = 200, 500, 50, 64
WNIDS, ANNOTATIONS = f"{FOLDER}/wnids.txt", f"{FOLDER}/val/val_annotations.txt"
TEST_FOLDER = f"{FOLDER}/val/images"


class UndecodableError(Exception):
    """A file that is not what it should be: `path` below the root, and what is wrong."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} is {what}")
        self.fault = Fault(path, what)


@dataclass(frozen=True)
class Layout:
    """The images of a subset as (path below the root, label), in their order."""

    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]

    def paths(self) -> Iterator[str]:
        """Every image, training images first."""
        return (path for path, _ in chain(self.train, self.test))


@dataclass(frozen=True, kw_only=True)
class TinyImageNet(Published):
    """The entry: 120,000 files, of which a choice needs those of its classes."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The file that lists the classes, for all of them."""
        return (WNIDS,)

    def faults(self, dataset: Choice, root: Path) -> list[Fault]:
        """Missing and empty files, and files of another size, of the classes that `dataset` keeps."""
        return missing(root, dataset.integer("classes"))

    def damage(self, dataset: Choice, root: Path) -> list[Fault]:
        """Files at fault; if there are none, images that cannot be decoded or whose checksum is wrong."""
        if found := self.faults(dataset, root):
            return found
        known = manifest(root)
        for path in layout(root, dataset.integer("classes")).paths():
            try:
                decode_image(root, path, known=known)
            except UndecodableError as error:
                found.append(error.fault)
        return found

    def part_there(self, root: Path) -> Choice | None:
        """The first classes that are complete, two at least."""
        classes = complete_classes(root)
        return self.choose({"classes": classes}) if classes > 1 else None

    def unpack(self, archive: Path, source: Source, root: Path) -> None:
        """Every file, then the manifest of their checksums, which `damage` and `arrays` compare them with."""
        lines = []
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                inside = member.filename.startswith(f"{FOLDER}/") and ".." not in member.filename.split("/")
                if member.is_dir() or not inside:
                    continue
                with packed.open(member) as stream:
                    put(stream, root / member.filename, sync=False)
                lines.append(f"{member.CRC:08x} {member.file_size} {member.filename}\n")
        (root / OWN_FOLDER).mkdir(parents=True, exist_ok=True)
        write_whole(root / MANIFEST, (line.encode() for line in lines))

    def arrays(self, dataset: Choice, root: Path) -> tuple[Arrays, str]:
        """The images of the classes that `dataset` keeps, from the file that workers share if it exists."""
        classes = dataset.integer("classes")
        try:
            wanted = layout(root, classes)
            return cache.arrays(
                root / OWN_FOLDER,
                f"{self.name}-{classes}",
                stamp=stamp(root, wanted),
                expected=None,
                read=lambda: decode(root, wanted),
            )
        except UndecodableError as error:
            raise self.damaged(root, [error.fault]) from error


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
            ANNOTATIONS, f"damaged ({len(test)} images of these classes instead of {classes * TEST_PER_CLASS})"
        )
    return Layout(train, test)


def _lines(root: Path, path: str) -> list[str]:
    try:
        return (root / path).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise UndecodableError(path, MISSING) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UndecodableError(path, f"unreadable ({error})") from error


def missing(root: Path, classes: int) -> list[Fault]:
    """Every file of the first `classes` classes that is missing, empty or of another size.

    The sizes are known where `unpack` left its manifest. A class without any image counts as one: its folder.
    """
    try:
        wanted = layout(root, classes)
    except UndecodableError as error:
        return [Fault(FOLDER, MISSING) if error.fault == Fault(WNIDS, MISSING) else error.fault]
    there, known = _files(root, wanted), manifest(root)
    folders = {os.path.dirname(path) for path in there}
    found: dict[str, str] = {}
    for path in wanted.paths():
        folder, status = os.path.dirname(path), there.get(path)
        if folder not in folders:
            found[folder] = MISSING
        elif status is None:
            found[path] = MISSING
        elif path in known and status.st_size != known[path][1]:
            found[path] = f"damaged ({status.st_size} bytes instead of {known[path][1]})"
        elif status.st_size == 0:
            found[path] = "empty"
    return [Fault(path, what) for path, what in found.items()]


def _files(root: Path, wanted: Layout) -> dict[str, os.stat_result]:
    """By path below the root, the files in the folders of `wanted`; none of a folder that cannot be listed."""
    found: dict[str, os.stat_result] = {}
    for folder in {os.path.dirname(path) for path in wanted.paths()}:
        with suppress(OSError), os.scandir(root / folder) as entries:
            found |= {f"{folder}/{entry.name}": entry.stat() for entry in entries if entry.is_file()}
    return found


def complete_classes(root: Path) -> int:
    """How many leading classes of `wnids.txt` are complete: what the option `classes` may be at most."""
    try:
        most = min(len(_lines(root, WNIDS)), CLASSES)
    except UndecodableError:
        return 0
    if not missing(root, most):
        return most
    return bisect.bisect_left(range(1, most), True, key=lambda count: bool(missing(root, count)))


def manifest(root: Path) -> Mapping[str, tuple[int, int]]:
    """(crc32, size in bytes) by path, as `unpack` wrote them; empty if it did not unpack the archive."""
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
            pixels[place] = decode_image(root, path, known=known)
        return pixels

    def labels(rows: tuple[tuple[str, int], ...]) -> NDArray[np.int64]:
        return np.array([label for _, label in rows], dtype=np.int64)

    return Arrays(images(wanted.train), labels(wanted.train), images(wanted.test), labels(wanted.test))


def decode_image(root: Path, path: str, *, known: Mapping[str, tuple[int, int]]) -> NDArray[np.uint8]:
    """One image as (3, 64, 64); grey ones get three equal channels. `known`: the manifest. Raises UndecodableError."""
    import numpy as np
    from PIL import Image

    try:
        content = (root / path).read_bytes()
        if path in known and zlib.crc32(content) != known[path][0]:
            raise UndecodableError(path, "damaged (checksum)")
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise UndecodableError(path, MISSING) from None
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        raise UndecodableError(path, "damaged (not a whole JPEG image)") from error
    if pixels.shape != (SIDE, SIDE, 3):
        raise UndecodableError(path, f"damaged ({pixels.shape[1]}x{pixels.shape[0]} pixels, not {SIDE}x{SIDE})")
    return pixels.transpose(2, 0, 1)


def stamp(root: Path, wanted: Layout) -> str:
    """What the decoded images depend on: the files, their order and labels, and the decoder."""
    import PIL
    from PIL import features

    there = _files(root, wanted)

    def sources() -> Iterator[tuple[str, os.stat_result]]:
        for path, label in chain(wanted.train, wanted.test):
            if path not in there:
                raise UndecodableError(path, MISSING)
            yield f"{path} {label}", there[path]

    return cache.stamp(f"{PIL.__version__} {features.version('jpg')}", sources())


entry = TinyImageNet(
    "tiny_imagenet",
    "Tiny ImageNet",
    "Le and Yang 2015",
    options=(
        Option("classes", CLASSES, "only the first N classes of wnids.txt", minimum=2, below=CLASSES + 1),
        TRAIN_SIZE,
    ),
    size=SIDE,
    classes=CLASSES,
    train=CLASSES * TRAIN_PER_CLASS,
    augment="crop_flip",
    sources=(
        Source(
            ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
            "90528d7ca1a48142e341f4ef8d21d0de",
            place="tiny-imagenet-200.zip",
        ),
    ),
)
