"""Paths without links, what comes with asapbench, and temporary folders."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from asapbench.errors import AsapbenchError


def without_links(path: Path) -> Path:
    """The absolute path that `path` names, with every link followed; a link without a target stays as it is.

    `Path.resolve` raises RuntimeError for a loop of links.
    """
    return Path(os.path.realpath(path))


_PACKAGE = Path(__file__).resolve().parent


def shipped(in_checkout: str, *, in_wheel: str) -> Path:
    """A file or folder that comes with asapbench: that of the checkout, else that in the wheel, below the package.

    >>> shipped("suites", in_wheel="suite/shipped").is_dir()
    True
    """
    checkout = _PACKAGE.parent
    found = checkout / in_checkout
    return found if (checkout / "pyproject.toml").is_file() and found.exists() else _PACKAGE / in_wheel


def temporary_folder() -> TemporaryDirectory[str]:
    """A folder that is removed when its block ends. Raises AsapbenchError if none can be made."""
    try:
        return TemporaryDirectory(prefix="asapbench-")
    except OSError as error:
        raise AsapbenchError(
            f"no temporary folder can be made ({error.strerror or error}): make room in /tmp, or name one in TMPDIR"
        ) from error


def user_cache() -> Path | None:
    """The folder for what can be found again: in `$XDG_CACHE_HOME`, else in `~/.cache`; None without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asapbench"
    except RuntimeError:
        return None
