"""Fetch data sets: download once under a lock, verify, unpack; and verify what is there.

A file that is there and right is left alone; one that is damaged is fetched again. Every file is written beside its
place and moved there whole. An archive that stands where `Source.place` says, put there by hand, is used instead of a
download.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from asapbench.data import tiny_imagenet
from asapbench.data.files import FILES, OWN_FOLDER, describe, mend, nothing_there
from asapbench.data.integrity import complete, damage, file_digest
from asapbench.errors import DataError
from asapbench.paths import temporary_beside

Say = Callable[[str], None]
Received = Callable[[int, int | None], None]
"""Called with bytes received so far and in all, where the server says so."""
State = Literal["complete", "damaged", "missing"]

_TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
_BLOCK = 1 << 20
_TIMEOUT = 60.0
"""Seconds without a byte before a download is given up."""


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: `faults` says which files are missing or damaged, as one sentence; empty if complete.

    `missing`: nothing of the set is there. `damaged`: some of it is missing, cut short or not what was published.
    """

    name: str
    state: State
    faults: str


@dataclass(frozen=True)
class Source:
    """One download: where from (tried in order), its MD5, where one put there by hand is found, what it gives."""

    urls: tuple[str, ...]
    md5: str
    place: str
    gives: tuple[str, ...]
    """Files below the root, in the archive under the same path; none: all of Tiny ImageNet."""


def sources(name: str) -> tuple[Source, ...]:
    """The downloads of data set `name`: torchvision's addresses and checksums."""
    from torchvision import datasets

    every = tuple(file.path for file in FILES.get(name, ()))
    if name in {"cifar10", "cifar100"}:
        kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        return (Source((kind.url,), kind.tgz_md5, kind.filename, every),)
    if name == "svhn":
        lists = (datasets.SVHN.split_list[split] for split in ("train", "test"))
        return tuple(Source((url,), md5, file, (file,)) for url, file, md5 in lists)
    if name == "mnist":
        return tuple(
            Source(tuple(mirror + file for mirror in datasets.MNIST.mirrors), md5, f"MNIST/raw/{file}", (gives,))
            for file, md5 in datasets.MNIST.resources
            for gives in every
            if gives == f"MNIST/raw/{file.removesuffix('.gz')}"
        )
    if name == "tiny_imagenet":
        return (Source((_TINY_URL,), _TINY_MD5, "tiny-imagenet-200.zip", ()),)
    return ()


def verify(name: str, root: Path) -> Verdict:
    """Hash every file of the complete data set `name`. Raises DataError for an unknown name."""
    found = damage(complete(name), root)
    state: State = "complete" if not found else "missing" if nothing_there(name, found) else "damaged"
    return Verdict(name, state, describe(root, found) if found else "")


def prepare(name: str, root: Path, *, say: Say = lambda _: None, received: Received = lambda *_: None) -> Verdict:
    """Make data set `name` complete below `root`; gives the verdict, which is `complete`.

    `say` is told each step, `received` the progress of a download. Raises DataError when a download fails, with the
    address and where to put the file by hand, or when the disk is full or may not be written.
    """
    if verify(name, root).state == "complete":
        return Verdict(name, "complete", "")
    try:
        with _lock(name, root, say=say):
            return _fetch_missing(name, root, say=say, received=received)
    except OSError as error:
        raise DataError(
            f"{name}: {error.filename or root} cannot be written ({error.strerror or error}): make room or change its "
            "rights, or name another folder with --data"
        ) from error


@contextlib.contextmanager
def _lock(name: str, root: Path, *, say: Say) -> Iterator[None]:
    """One process at a time prepares a data set."""
    from filelock import FileLock, Timeout

    folder = root / OWN_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{name}: waiting for another asapbench that prepares it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch_missing(name: str, root: Path, *, say: Say, received: Received) -> Verdict:
    wrong = {fault.path for fault in damage(complete(name), root)}  # again: another process may have done it
    for source in sources(name):
        if wrong.intersection(source.gives) or (wrong and not source.gives):
            archive, downloaded = _archive(name, root, source, say=say, received=received)
            say(f"{name}: unpacking")
            _unpack(name, archive, root, source)
            if downloaded:
                archive.unlink(missing_ok=True)
    verdict = verify(name, root)
    if verdict.state != "complete":
        raise DataError(f"{name}: after unpacking, {verdict.faults}: is the disk sound?")
    return verdict


def _archive(name: str, root: Path, source: Source, *, say: Say, received: Received) -> tuple[Path, bool]:
    """The verified archive, and whether it was downloaded."""
    by_hand = root / source.place
    if by_hand.is_file() and not (wrong := _wrong(by_hand, source.md5)):
        return by_hand, False
    if by_hand.is_file() and source.place not in source.gives:
        say(f"{name}: {by_hand} is left aside: {wrong}")
    target = root / OWN_FOLDER / Path(source.place).name
    failures = []
    for url in source.urls:
        say(f"{name}: downloading {url}")
        try:
            _download(url, target, received=received)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            failures.append(f"{url} cannot be fetched ({getattr(error, 'reason', error)})")
            continue
        if not (wrong := _wrong(target, source.md5)):
            return target, True
        target.unlink()
        failures.append(f"what {url} gives is damaged ({wrong})")
    raise DataError(
        f"{name}: {'; '.join(failures)}: put the file at {by_hand} by hand (MD5 {source.md5}), then {mend(name, root)}"
    )


def _wrong(path: Path, md5: str) -> str:
    found = file_digest(path, "md5")
    return "" if found == md5 else f"its MD5 is {found}, not {md5}"


def _download(url: str, target: Path, *, received: Received) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "asapbench"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None

        def blocks() -> Iterator[bytes]:
            done = 0
            while block := answer.read(_BLOCK):
                done += len(block)
                received(done, total)
                yield block

        _place(blocks(), target)


def _unpack(name: str, archive: Path, root: Path, source: Source) -> None:
    """Put the files of a verified archive in their places. Raises DataError for one that cannot be unpacked."""
    try:
        if source.place.endswith(".tar.gz"):
            with tarfile.open(archive) as tar:
                for path in source.gives:
                    _place(_blocks(tar.extractfile(path)), root / path)
        elif source.place.endswith(".zip"):
            _unpack_tiny_imagenet(archive, root)
        elif source.place.endswith(".gz"):
            with gzip.open(archive) as stream:
                _place(_blocks(stream), root / source.gives[0])
        elif archive != root / source.gives[0]:
            os.replace(archive, root / source.gives[0])
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, KeyError) as error:
        raise DataError(f"{name}: {archive} cannot be unpacked ({error}): {mend(name, root)}") from error


def _unpack_tiny_imagenet(archive: Path, root: Path) -> None:
    """Every file, then the manifest of their checksums, which `verify` and `load` hold them against."""
    lines = []
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            inside = member.filename.startswith(f"{tiny_imagenet.FOLDER}/") and ".." not in member.filename.split("/")
            if member.is_dir() or not inside:
                continue
            with packed.open(member) as stream:
                _place(_blocks(stream), root / member.filename, sync=False)
            lines.append(f"{member.CRC:08x} {member.file_size} {member.filename}\n")
    _place(iter([line.encode() for line in lines]), root / tiny_imagenet.MANIFEST)


def _blocks(stream: IO[bytes] | gzip.GzipFile | None) -> Iterator[bytes]:
    while stream is not None and (block := stream.read(_BLOCK)):
        yield block


def _place(blocks: Iterator[bytes], target: Path, *, sync: bool = True) -> None:
    """Write `blocks` beside `target` and move them there whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target, ".part")
    try:
        with temporary.open("wb") as stream:
            for block in blocks:
                stream.write(block)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
