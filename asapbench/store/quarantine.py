"""A damaged SQLite database: detected before anything is written to it, renamed on request, never deleted."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from asapbench.durable import sync_directories
from asapbench.errors import StoreError, UnavailableError
from asapbench.paths import without_links
from asapbench.store.connect import Database, connect

_COMPANIONS = ("-wal", "-shm", "")
"""In the order of renaming: a new database must not find the log of an old one."""


def require_whole(database: Database) -> None:
    """Raises StoreError if the file's structure is damaged: further writes would make it worse."""
    if database.path is None:
        return
    with database.reading() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if found != "ok":
        raise database.damaged(found)


def quarantine(url: str) -> Path:
    """Renames a damaged database, and what belongs to it, to `<name>.damaged-<n>`; returns the new name.

    Raises StoreError if there is no file, if it is whole, or if it cannot be renamed.
    """
    database = connect(url, writable=False)
    path = None if database.path is None else without_links(database.path)  # logs are beside the file
    if path is None or not os.path.exists(path):
        raise StoreError(f"{database.name}: there is no file to quarantine")
    if _is_whole(database):
        raise StoreError(f"{database.name} is whole: there is nothing to quarantine")
    number = next(n for n in count(1) if not os.path.lexists(_moved(path, n)))
    try:
        for ending in _COMPANIONS:
            companion = path.with_name(path.name + ending)
            if os.path.exists(companion):
                companion.rename(_moved(path, number, ending))
        sync_directories(path.parent)
    except OSError as error:
        raise StoreError(f"{database.name} cannot be renamed: {error.strerror}") from error
    return _moved(path, number)


def _moved(path: Path, number: int, ending: str = "") -> Path:
    return path.with_name(f"{path.name}.damaged-{number}{ending}")


def _is_whole(database: Database) -> bool:
    try:
        require_whole(database)
    except UnavailableError:
        raise
    except StoreError:
        return False
    finally:
        database.close()
    return True
