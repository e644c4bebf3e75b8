"""Files written whole or not at all, and names that survive a power loss.

A temporary name is used by no other process, in no container and on no machine that shares the folder.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path


def temporary_beside(path: Path, ending: str) -> Path:
    """A hidden name in the folder of `path`. Process numbers are not unique: every container counts from 1."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{ending}")


def write_whole(
    path: Path, blocks: Iterable[bytes | memoryview], *, sync: bool = True, mode: int | None = None
) -> None:
    """Writes `blocks` to a temporary file beside `path`, syncs it and moves it to `path`, with the rights `mode`.

    The folder must exist; `sync_directories` makes the name durable. Raises OSError, and what `blocks` raises; then
    `path` is unchanged and the temporary file is removed.
    """
    temporary = temporary_beside(path, ".part")
    try:
        with temporary.open("xb") as stream:
            for block in blocks:
                stream.write(block)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


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
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
