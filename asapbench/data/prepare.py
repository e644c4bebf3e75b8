"""Fetches published data sets: downloads them once under a lock, verifies and unpacks them. Imports no torch.

A file that is there and right is not touched; a damaged one is fetched again. Every file is written whole or not at
all. An archive that the user has put where `Source.place` says is used instead of a download.
"""

from __future__ import annotations

import gzip
import http.client
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asapbench.data.files import OWN_FOLDER, describe, file_digest
from asapbench.data.published import BLOCK, Published, Source
from asapbench.durable import write_whole
from asapbench.errors import DataError

Say = Callable[[str], None]
Received = Callable[[int, int | None], None]
"""Called with bytes received so far and in all, where the server says so."""
State = Literal["complete", "damaged", "missing"]

_TIMEOUT = 60.0
"""Seconds without a byte before a download fails."""
_UNPACKING = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, KeyError)
"""What the libraries raise that unpack an archive."""


@dataclass(frozen=True)
class Verdict:
    """What `verify` found: `faults` says which files are missing or damaged, as one sentence; empty if complete.

    `missing`: nothing of the set is there. `damaged`: some of it is missing, cut short or not what was published.
    """

    state: State
    faults: str


def verify(dataset: Published, root: Path) -> Verdict:
    """Reads every file of the complete data set and compares it with what was published."""
    found = dataset.damage(dataset.choose(), root)
    state: State = "complete" if not found else "missing" if dataset.is_absent(found, root) else "damaged"
    return Verdict(state, describe(root, found) if found else "")


def prepare(dataset: Published, root: Path, *, say: Say = lambda _: None, received: Received = lambda *_: None) -> None:
    """Makes the data set complete below `root`.

    `say` gets each step, `received` the progress of a download. Raises DataError when a download fails, with the
    address and where to put the file by hand, or when the disk is full or may not be written.
    """
    verdict = verify(dataset, root)
    if verdict.state == "complete":
        return
    if not dataset.sources:
        raise DataError(f"{dataset.name}: {verdict.faults}: {dataset.fix(root)}")
    try:
        with _lock(dataset.name, root, say=say):
            _fetch_missing(dataset, root, say=say, received=received)
    except OSError as error:
        raise DataError(
            f"{dataset.name}: {error.filename or root} cannot be written ({error.strerror or error}): make room or "
            "change its rights, or name another folder with --data"
        ) from error


def _lock(name: str, root: Path, *, say: Say) -> AbstractContextManager[object]:
    """Held by one process at a time, which prepares the data set."""
    from filelock import FileLock, Timeout

    folder = root / OWN_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{name}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        say(f"{name}: waiting for another asapbench that prepares it")
        return lock.acquire()


def _fetch_missing(dataset: Published, root: Path, *, say: Say, received: Received) -> None:
    wrong = {fault.path for fault in dataset.damage(dataset.choose(), root)}  # another process may have fetched some
    for source in dataset.sources:
        if wrong.intersection(source.holds) or (wrong and not source.holds):
            archive, is_downloaded = _archive(dataset, root, source, say=say, received=received)
            say(f"{dataset.name}: unpacking")
            try:
                dataset.unpack(archive, source, root)
            except _UNPACKING as error:
                fault = f"{archive} cannot be unpacked ({error})"
                raise DataError(f"{dataset.name}: {fault}: {dataset.fix(root)}") from error
            if is_downloaded:
                archive.unlink(missing_ok=True)
    verdict = verify(dataset, root)
    if verdict.state != "complete":
        raise DataError(f"{dataset.name}: after unpacking, {verdict.faults}: is the disk sound?")


def _archive(dataset: Published, root: Path, source: Source, *, say: Say, received: Received) -> tuple[Path, bool]:
    """The verified archive, and whether it was downloaded."""
    name = dataset.name
    by_hand = root / source.place
    if by_hand.is_file() and not (wrong := _wrong(by_hand, source.md5)):
        return by_hand, False
    if by_hand.is_file() and source.place not in source.holds:
        say(f"{name}: {by_hand} is not used: {wrong}")
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
        failures.append(f"the file from {url} is damaged ({wrong})")
    raise DataError(
        f"{name}: {'; '.join(failures)}: put the file at {by_hand} by hand (MD5 {source.md5}), then {dataset.fix(root)}"
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
            while block := answer.read(BLOCK):
                done += len(block)
                received(done, total)
                yield block

        write_whole(target, blocks())
