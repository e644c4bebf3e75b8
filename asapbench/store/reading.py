"""Opens a SQLite database for reading: everything committed is read, and no file is made, changed or left behind.

A reader of a database with a write-ahead log (WAL) needs a -shm file beside it. SQLite removes -wal and -shm when the
last connection closes, but only if that connection may write. So the way to read depends on which files are writable,
and on whether some rows are only in a log.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from asapbench.errors import StoreError, UnavailableError
from asapbench.paths import temporary_folder

_LOGS = ("-wal", "-journal")
"""Files that contain part of a database: its newest rows, or what undoes an incomplete transaction."""

_TRIES = 5
"""How often a copy is retried before the database counts as constantly written to."""


@dataclass(frozen=True)
class Place:
    """The file to open, SQLite's parameters for it, and whether it is unchanged since reading started."""

    file: Path
    parameters: str
    unchanged: Callable[[], bool] = lambda: True
    folder: TemporaryDirectory[str] | None = field(default=None, repr=False)

    def close(self) -> None:
        """Removes the copy, if this is one."""
        if self.folder is not None:
            self.folder.cleanup()


def place_to_read(path: Path, *, name: str, may_write_beside: bool = True) -> Place:
    """Where to read the database `path`, which is called `name` in messages.

    `path` is the file itself, not a link to it: SQLite keeps its logs beside the file. `may_write_beside`: SQLite may
    make its logs there for as long as the database is open. Raises AsapbenchError if a necessary copy fails.
    """
    shared = os.path.exists(_beside(path, "-wal")) and os.access(_beside(path, "-shm"), os.R_OK)
    if any(log is not None and log[0] for log in _state(path)[1:]):
        # A log without -shm has no live writer. Opening it in place would make -shm or change the log.
        return Place(path, "mode=ro") if shared else _copied(path, name=name)
    if may_write_beside and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return Place(path, "mode=rw")  # `query_only` writes nothing; closing removes -wal and -shm
    if shared:
        return Place(path, "mode=ro")
    before = _state(path)
    return Place(path, "mode=ro&immutable=1", lambda: _state(path) == before)


def _copied(path: Path, *, name: str) -> Place:
    folder = temporary_folder()
    copy = Path(folder.name) / "copy.sqlite"
    try:
        for _ in range(_TRIES):
            before = _state(path)
            for ending in ("", *_LOGS):
                _beside(copy, ending).unlink(missing_ok=True)
                if os.path.exists(_beside(path, ending)):
                    shutil.copyfile(_beside(path, ending), _beside(copy, ending))
            if _state(path) == before:
                return Place(copy, "mode=rw", folder=folder)
    except OSError as error:
        folder.cleanup()
        fault = f"{error.filename or name}: {error.strerror or error}"
        raise StoreError(f"{name} has a log beside it and cannot be copied to be read ({fault})") from error
    folder.cleanup()
    raise UnavailableError(f"{name} is written to all the time: try again")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _state(path: Path) -> list[tuple[int, int] | None]:
    """Size and time of change of the database and its logs."""
    found: list[tuple[int, int] | None] = []
    for ending in ("", *_LOGS):
        try:
            status = _beside(path, ending).stat()
            found.append((status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return found
