"""Names that survive a power loss: a new file or directory is there for good once its directory is synced."""

from __future__ import annotations

import os
from pathlib import Path


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
