"""Decoded images in one file that all workers of a machine map: read once, and in memory once. Imports no torch.

A file is a line of JSON (what the arrays were made from, their types, shapes and digest), filled up to a page, and the
arrays. It is written whole or not at all, under a lock. Its name has a part of the stamp: readers of other sources or
of another version have a file of their own, and only a damaged file is ever replaced. No file is removed: over NFS a
worker of another host that maps it would end with SIGBUS.

A mapped page that a process writes to is copied for that process: no worker's write changes the file. Another program
can change it: what it overwrites may reach workers that map the file, and if it cuts the file short they end with
SIGBUS.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asapbench.durable import write_whole
from asapbench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asapbench.suite.entries import DatasetShape

_PAGE = 4096
"""Bytes of the first line; each array begins at a multiple of them."""
_LABELS = "<i8"
_IMAGES = ("|u1", "<f4")
"""Types of images in a file: bytes, which a head need not name, and float32."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set: uint8 or float32 images (N, C, H, W) and int64 labels (N,). Feature vectors are (N, C, 1, 1)."""

    train_images: NDArray[Any]
    train_labels: NDArray[np.int64]
    test_images: NDArray[Any]
    test_labels: NDArray[np.int64]

    def digest(self) -> str:
        """SHA-256 over shapes and contents: the fingerprint of the data set."""
        import numpy as np

        digest = hashlib.sha256()
        for name, array in zip(("train", "train labels", "test", "test labels"), self.all(), strict=True):
            digest.update(f"{name} {array.dtype.newbyteorder('<').str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def require(self, shape: DatasetShape, *, name: str) -> None:
        """Raises DataError where the arrays of the data set `name` are not as `shape` declares them."""
        import numpy as np

        values, sides = np.dtype("uint8" if shape.value_bytes == 1 else "float32"), (shape.size, shape.size)
        for part, count, images, labels in (
            ("training", shape.train, self.train_images, self.train_labels),
            ("test", shape.test, self.test_images, self.test_labels),
        ):
            for what, array, kind, declared in (
                ("images", images, values, (count, shape.channels, *sides)),
                ("labels", labels, np.dtype(np.int64), (count,)),
            ):
                if (array.dtype, array.shape) != (kind, declared):
                    found = f"the {part} {what} are {array.dtype} {array.shape}, not {kind} {declared}"
                    raise DataError(f"{name}: {found}: correct its entry, or what it reads")
            first, last = labels.min(initial=0), labels.max(initial=0)
            if first < 0 or last >= shape.classes:
                found = f"the {part} labels are {first} to {last}, not 0 to {shape.classes - 1}"
                raise DataError(f"{name}: {found}: correct its entry, or what it reads")

    def all(self) -> tuple[NDArray[Any], ...]:
        """The four arrays, in their order in the file."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


def stamp(made_with: str, sources: Iterable[tuple[str, os.stat_result]]) -> str:
    """A digest of what a file is made from: names, sizes and times of the sources, and their reader.

    A write to a source changes its ctime, which a program can set back only with the clock of the system.
    """
    digest = hashlib.sha256(f"{made_with}\n".encode())
    for name, status in sources:
        line = f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"
        digest.update(line.encode(errors="surrogateescape"))  # a name may be no UTF-8
    return digest.hexdigest()


class _UnusableError(Exception):
    """The file can be neither read nor written, as `what` says."""

    def __init__(self, cache: Path, what: str, error: Exception) -> None:
        super().__init__(f"{cache} cannot be {what} ({getattr(error, 'strerror', None) or error})")


def place(folder: Path, name: str, stamp: str) -> Path:
    """The file of the images `name` in `folder` that has this stamp."""
    return folder / f"{name}.{stamp[:12]}.images"


def arrays(
    folder: Path, name: str, *, stamp: str, expected: str | None, read: Callable[[], Arrays]
) -> tuple[Arrays, str]:
    """The arrays that `read` makes from the sources, and their digest; from the file in `folder` if it holds them.

    A file with another digest than `expected` is neither used nor written; if None is expected, the digest in the file
    counts. Warns of a damaged file, and of one that cannot be read or written. Raises what `read` raises.
    """
    cache = place(folder, name, stamp)
    try:
        held = _mapped(cache, stamp=stamp, expected=expected)
        if held is not None:
            return held
        with _lock(folder, name, cache):  # another worker may have written it while this one waited
            held = _mapped(cache, stamp=stamp, expected=expected, quiet=True)
            return held or _made(cache, name, stamp=stamp, expected=expected, read=read)
    except _UnusableError as fault:
        _warn(fault)
        made = read()
        return made, made.digest()


def _lock(folder: Path, name: str, cache: Path) -> contextlib.AbstractContextManager[object]:
    """Held by one process at a time, which writes files of `name`. Makes the folder. Raises _UnusableError."""
    from filelock import FileLock

    try:
        if not folder.exists():
            with contextlib.suppress(FileExistsError):  # another worker was faster
                folder.mkdir(parents=True)
                folder.chmod(folder.stat().st_mode | 0o055)  # other users may read it, whatever the umask
        return FileLock(folder / f"{name}.images.lock").acquire()
    except (OSError, NotImplementedError) as error:
        raise _UnusableError(cache, "written", error) from error


def _made(
    cache: Path, name: str, *, stamp: str, expected: str | None, read: Callable[[], Arrays]
) -> tuple[Arrays, str]:
    made = read()
    digest = made.digest()
    if expected in (None, digest):
        try:
            _write(cache, name, made, head={"stamp": stamp, "digest": digest})
            return _mapped(cache, stamp=stamp, expected=digest) or (made, digest)
        except _UnusableError as fault:
            _warn(fault)
    return made, digest


def _mapped(cache: Path, *, stamp: str, expected: str | None, quiet: bool = False) -> tuple[Arrays, str] | None:
    """What the file holds; None if it is missing, damaged or made from other sources.

    Raises _UnusableError for a file that cannot be read, which may be sound.
    """
    try:
        with cache.open("rb") as stream:
            head = json.loads(stream.read(_PAGE))
        if head["stamp"] != stamp or expected not in (None, head["digest"]):
            return None
        held = _map(cache, head["shapes"], images=head.get("images", _IMAGES[0]))
        if held.digest() == head["digest"]:
            return held, head["digest"]
        fault = "its checksum is wrong"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _UnusableError(cache, "read", error) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        fault = str(error)
    if not quiet:
        warnings.warn(f"{cache} is damaged ({fault}): it is built again", stacklevel=4)
    return None


def _map(cache: Path, shapes: Iterable[Iterable[int]], *, images: str) -> Arrays:
    """Views of the mapped file. Raises ValueError for a file of another size or type, OSError."""
    import numpy as np

    if images not in _IMAGES:
        raise ValueError(f"images of type {images!r}")
    whole = np.asarray(np.memmap(cache, np.uint8, mode="c"))
    found, end = [], _PAGE
    for kind, shape in zip((images, _LABELS) * 2, shapes, strict=True):
        sides = tuple(int(side) for side in shape)
        first, length = end, math.prod(sides) * np.dtype(kind).itemsize
        found.append(whole[first : first + length].view(kind).reshape(sides))
        end = _next_page(first + length)
    if end != len(whole):
        raise ValueError(f"it has {len(whole)} bytes instead of {end}")
    return Arrays(*found)


def _write(cache: Path, name: str, made: Arrays, *, head: dict[str, Any]) -> None:
    """Writes the file whole. Raises _UnusableError, also if it needs more than half of the free space."""
    import numpy as np

    images = made.train_images.dtype.newbyteorder("<").str
    line = json.dumps(head | {"shapes": [array.shape for array in made.all()], "images": images}).encode()

    def blocks() -> Iterator[bytes | memoryview]:
        yield line.ljust(_PAGE - 1) + b"\n"
        for kind, array in zip((images, _LABELS) * 2, made.all(), strict=True):
            yield np.ascontiguousarray(array, dtype=kind).data
            yield bytes(_next_page(array.nbytes) - array.nbytes)

    try:
        for left in cache.parent.glob(f".{name}.*.part"):  # of a writer that was killed: this one has the lock
            left.unlink(missing_ok=True)
        # A disk that is full even for a moment would stop the checkpoints that other workers write to it.
        if shutil.disk_usage(cache.parent).free < 2 * sum(array.nbytes for array in made.all()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_whole(cache, blocks(), mode=0o644)  # other users' workers may read it, whatever the umask
    except OSError as error:
        raise _UnusableError(cache, "written", error) from error


def _next_page(position: int) -> int:
    return -(-position // _PAGE) * _PAGE


def _warn(fault: _UnusableError) -> None:
    warnings.warn(f"{fault}: the images are read each time, and each worker has a copy of its own", stacklevel=4)
