"""Where files are written before they are moved to their place, and what links name.

A temporary name is used by no other process, whichever container or machine shares the folder.
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
