"""Names that survive a power loss: a new file or directory is there for good once its directory is synced.

And names that no other process uses, for what is written beside its place and then moved there; and what links name.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory

from asapbench.errors import AsapbenchError


def without_links(path: Path) -> Path:
    """The absolute path that `path` names, with every link followed; a link that leads nowhere stays as it is.

    `Path.resolve` raises RuntimeError where links form a loop.
    """
    return Path(os.path.realpath(path))


def temporary_beside(path: Path, ending: str) -> Path:
    """A hidden name in the folder of `path`. Process numbers would not do: every container counts from 1."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{ending}")


def temporary_folder() -> TemporaryDirectory[str]:
    """A folder that is gone when its block ends. Raises AsapbenchError where there is room for none."""
    try:
        return TemporaryDirectory(prefix="asapbench-")
    except OSError as error:
        raise AsapbenchError(
            f"no temporary folder can be made ({error.strerror or error}): make room in /tmp, or name one in TMPDIR"
        ) from error


def sync_directories(directory: Path) -> None:
    """Makes the entries of `directory` durable, and its own in those above it, up to the root of its file system.

    All of them each time, not the new ones alone: who made a directory may have been killed before it was synced.
    Syncing one that has not changed costs next to nothing.
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
