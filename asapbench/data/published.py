"""Data sets whose files are published: their names, sizes, checksums and downloads. Imports no torch.

The layout is torchvision's, so that data it has downloaded are found. The checksums are those of torchvision's lists,
written out: importing torchvision takes a worker half a second.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asapbench.data import cache, files
from asapbench.data.cache import Arrays
from asapbench.data.dataset import Dataset
from asapbench.data.files import MISSING, OWN_FOLDER, Fault, describe, file_digest
from asapbench.durable import write_whole
from asapbench.errors import DataError
from asapbench.suite.options import Choice

DAMAGED = "damaged (checksum)"
BLOCK = 1 << 20
_REVISION = "1"
"""Of the readers: what another one decoded is not used."""


@dataclass(frozen=True)
class DataFile:
    """One file: its path below the data root, its size in bytes and its digest, as in `md5:4be1...`."""

    path: str
    size: int
    digest: str


@dataclass(frozen=True)
class Source:
    """One download: its addresses (tried in order), its MD5, and what it holds.

    `place` is where below the data root a file that the user downloaded is found. `holds` are the files below the root
    that it unpacks to, in an archive under the same path; empty for an archive whose files are not listed.
    """

    urls: tuple[str, ...]
    md5: str
    place: str
    holds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Published(Dataset):
    """A data set that can be downloaded from `sources`, and verified against published checksums."""

    sources: tuple[Source, ...] = ()

    @property
    @abstractmethod
    def paths(self) -> tuple[str, ...]:
        """Its files or folders below a root; none for a data set that comes with a package."""

    def folder(self, root: Path) -> Path | None:
        """The folder below `root` that holds its files; None for a data set that needs none."""
        return (root / self.paths[0]).parent if self.paths else None

    def is_absent(self, found: Iterable[Fault], root: Path) -> bool:
        """Whether none of its files is there; `found` are the faults of all of it."""
        is_missing = all(fault.what == MISSING for fault in found)
        return is_missing and not any(os.path.exists(root / path) for path in self.paths)

    @abstractmethod
    def faults(self, dataset: Choice, root: Path) -> list[Fault]:
        """Everything wrong with the names and sizes of the files that `dataset` needs."""

    @abstractmethod
    def damage(self, dataset: Choice, root: Path) -> list[Fault]:
        """Everything wrong with the files that `dataset` needs; every byte is read."""

    @abstractmethod
    def unpack(self, archive: Path, source: Source, root: Path) -> None:
        """Puts the files of a verified archive into their places. Raises OSError, and what unpacking raises."""

    def part_there(self, root: Path) -> Choice | None:
        """The part of an incomplete data set that cells can train on; else None."""
        return None

    def check(self, dataset: Choice, root: Path) -> None:
        """Raises DataError when a file that `dataset` needs is missing or has another size. Reads no file whole."""
        if not (found := self.faults(dataset, root)):
            return
        error = self.damaged(root, found)
        if (part := self.part_there(root)) is None:
            raise error
        here = f'dataset = {{ name = "{self.name}", {self.changed(part)} }}'
        raise DataError(f"{error}, or keep to the part that is here: {here}")

    def changed(self, dataset: Choice) -> str:
        """The options that are not at their default: `classes = 40`."""
        changed = ((name, value) for name, value in dataset.options if value != self.option(name).default)
        return ", ".join(f"{name} = {value}" for name, value in changed)

    def require_sound(self, dataset: Choice, root: Path) -> None:
        """Raises DataError when any file that `dataset` needs is missing or damaged; every byte is read."""
        if found := self.damage(dataset, root):
            raise self.damaged(root, found)

    def damaged(self, root: Path, found: Iterable[Fault]) -> DataError:
        """The error that names the files at fault, what is wrong with them, and how to fix it."""
        return DataError(f"{self.name}: {describe(root, found)}: {self.fix(root)}")

    def fix(self, root: Path) -> str:
        """How to replace its files, for the end of an error: the command that fetches them, if one can."""
        if self.sources:
            return files.fix(self.name, root)
        return "put its files there" if self.paths else "correct what it reads"


@dataclass(frozen=True, kw_only=True)
class PublishedFiles(Published):
    """A published data set of few files. One without files comes with a package that asapbench needs.

    `read` reads the complete data set below a root, from files that are verified.
    """

    files: tuple[DataFile, ...] = ()
    read: Callable[[Path], Arrays]

    @property
    def paths(self) -> tuple[str, ...]:
        """The files."""
        return tuple(file.path for file in self.files)

    def faults(self, dataset: Choice, root: Path) -> list[Fault]:
        """Missing files, and files of another size. Any part of the data set needs all of them."""
        return [Fault(file.path, fault) for file in self.files if (fault := _size_fault(file, root)) is not None]

    def damage(self, dataset: Choice, root: Path) -> list[Fault]:
        """Sizes first, then the digests of the files of the right size."""
        found = self.faults(dataset, root)
        at_fault = {fault.path for fault in found}
        for file in (file for file in self.files if file.path not in at_fault):
            algorithm, _, digest = file.digest.partition(":")
            try:
                if file_digest(root / file.path, algorithm) != digest:
                    found.append(Fault(file.path, DAMAGED))
            except OSError as error:
                found.append(Fault(file.path, f"unreadable ({error.strerror})"))
        return found

    def unpack(self, archive: Path, source: Source, root: Path) -> None:
        """The listed files of a `.tar.gz`, the one of a `.gz`, or the file itself."""
        if source.place.endswith(".tar.gz"):
            with tarfile.open(archive) as tar:
                for path in source.holds:
                    put(tar.extractfile(path), root / path)
        elif source.place.endswith(".gz"):
            with gzip.open(archive) as stream:
                put(stream, root / source.holds[0])
        elif archive != root / source.holds[0]:
            os.replace(archive, root / source.holds[0])

    def arrays(self, dataset: Choice, root: Path) -> tuple[Arrays, str]:
        """The complete data set, from the file that workers share if it exists."""
        if not self.files:
            made = self.read(root)
            return made, made.digest()

        def read() -> Arrays:
            self.require_sound(dataset, root)
            made = self.read(root)
            made.require(self.whole(dataset), name=self.name)  # other workers map it
            return made

        return cache.arrays(
            root / OWN_FOLDER,
            self.name,
            stamp=cache.stamp(_REVISION, ((file.path, (root / file.path).stat()) for file in self.files)),
            expected=self.fingerprint,
            read=read,
        )


def put(stream: IO[bytes] | gzip.GzipFile | None, target: Path, *, sync: bool = True) -> None:
    """Writes what `stream` holds to `target`, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)

    def blocks() -> Iterator[bytes]:
        while stream is not None and (block := stream.read(BLOCK)):
            yield block

    write_whole(target, blocks(), sync=sync)


def _size_fault(file: DataFile, root: Path) -> str | None:
    """What is wrong with the file itself or its size, or None."""
    try:
        size = (root / file.path).stat().st_size
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if not (root / file.path).is_file():
        return "not a file"
    if size == file.size:
        return None
    return f"{'cut short' if size < file.size else 'too long'} ({size} of {file.size} bytes)"
