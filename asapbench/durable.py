"""Files written whole or not at all, and names that survive a power loss.

A temporary name is used by no other process, in no container and on no machine that shares the folder.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from asapbench.errors import AsapbenchError


def check_place(path: Path, what: str, *, replace: bool = True) -> None:
    """Raises AsapbenchError, which calls the file `what`, if this user cannot write a file at `path`.

    Without `replace` also if there is one.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise AsapbenchError(f"{what}: this is {'a directory' if os.path.isdir(path) else 'not a file'}; name a file")
    if os.path.exists(path) and not replace:
        raise AsapbenchError(f"{what} exists already: name another file, or replace it with --force")
    if not os.path.isdir(path.parent):  # Path.is_dir raises where this user may not enter the folder above
        raise AsapbenchError(f"{what}: there is no directory {path.parent}; create it first")
    folder = os.path.dirname(os.path.realpath(path))  # of a link, the folder of its target
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AsapbenchError(f"{what}: the directory {folder} cannot be written to; change its rights, or name another")


@contextlib.contextmanager
def replacing(path: Path, *, sync: bool = True, mode: int | None = None) -> Iterator[Path]:
    """A hidden name beside `path` for the block to write: at its end that file is synced and moved to `path`.

    It gets the rights `mode`. The folder must exist; `sync_directories` makes the name durable. Raises OSError, and
    what the block raises; then `path` is unchanged and the temporary file is removed.
    """
    # Process numbers are not unique: every container counts from 1.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        yield temporary
        if sync:
            _sync(temporary)
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_whole(
    path: Path, blocks: Iterable[bytes | memoryview], *, sync: bool = True, mode: int | None = None
) -> None:
    """Writes `blocks` to `path` as `replacing` does. Raises OSError, and what `blocks` raises."""
    with replacing(path, sync=sync, mode=mode) as temporary, temporary.open("xb") as stream:
        for block in blocks:
            stream.write(block)


def sync_directories(directory: Path) -> None:
    """Makes the entries of `directory` and of every directory above it in its file system durable.

    All of them each time, not only new ones: the process that made a directory may have been killed before it
    synced it. Syncing an unchanged directory costs almost nothing.
    """
    if os.name != "posix":
        return  # Windows opens no directory, and writes names through
    device = directory.stat().st_dev
    for folder in (directory.absolute(), *directory.absolute().parents):
        if folder.stat().st_dev != device or not os.access(folder, os.R_OK):
            return
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
