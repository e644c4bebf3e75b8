"""Exports: chosen cells with all their rows, in a new database file that any SQLite tool reads.

The content is what a merge would add: no path of this machine, and no running attempt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, select, update

from asapbench.durable import temporary_beside
from asapbench.errors import StoreError
from asapbench.paths import without_links
from asapbench.store import migrate
from asapbench.store.cells import readable_cell, require_suite
from asapbench.store.connect import Database, connect
from asapbench.store.merge import merge
from asapbench.store.records import Merged
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import suite_cell
from asapbench.suite.select import only

_NOBODY = {"host": "", "boot_id": "", "pid": 0, "pid_started": 0.0, "error": None, "log_tail": None}
"""The process of an attempt, blanked; errors and logs too, because they may name paths and users."""


@contextmanager
def written(path: Path, *, database: Database, force: bool) -> Iterator[Database]:
    """An empty database that becomes the file `path` if the block succeeds, and is removed if it fails.

    Raises StoreError for a path that cannot be written.
    """
    _check(path, database=database, force=force)
    temporary = temporary_beside(path, ".tmp")
    try:
        with closing(connect(str(temporary), writable=True)) as file:
            migrate.make(file)
            yield file
        _sync(temporary)
        temporary.replace(path)
        _sync(path.absolute().parent)
    except OSError as error:
        raise StoreError(f"{path}: the export cannot be written: {error.strerror or error}") from error
    finally:
        for ending in ("", "-journal"):
            temporary.with_name(temporary.name + ending).unlink(missing_ok=True)


def chosen(connection: Connection, *, suites: Sequence[str] = (), filters: Sequence[str] = ()) -> list[str]:
    """The cells of these suites (default: all) that match the filters.

    No filter matches a cell that this version cannot read. Raises StoreError for an unknown suite, SuiteError for a
    filter that no cell matches.
    """
    c = cells.c
    query = select(c.id, c.config).order_by(c.dataset, c.model, c.rule, c.lr, c.group_id, c.seed, c.id)
    if suites:
        for name in suites:
            require_suite(connection, name)
        named = select(suite_cell.c.cell_id).where(suite_cell.c.suite.in_(suites))
        query = query.where(c.id.in_(named))
    configs: dict[str, str] = {row.id: row.config for row in connection.execute(query)}
    if not filters:
        return list(configs)
    readable = {cell_id: cell for cell_id, config in configs.items() if (cell := readable_cell(config)) is not None}
    passed = set(only(list(readable.values()), filters))
    return [cell_id for cell_id, cell in readable.items() if cell in passed]


def fill(
    connection: Connection,
    file: Database,
    *,
    suites: Sequence[str],
    filters: Sequence[str],
    anonymous: bool,
) -> Merged:
    """Writes the chosen cells to the empty database `file`."""
    cell_ids = chosen(connection, suites=suites, filters=filters)
    with file.writing() as target:
        held = merge(connection, target, cell_ids=cell_ids, suite_names=suites or None)
        if anonymous:
            target.execute(update(attempts).values(_NOBODY))
    return held


def _check(path: Path, *, database: Database, force: bool) -> None:
    if not os.path.isdir(path.parent):  # Path.is_dir raises where this user may not enter the folder above
        raise StoreError(f"{path}: there is no directory {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StoreError(
            f"{path}: the directory {path.parent} cannot be written to; change its rights, or name another"
        )
    if database.path is not None and without_links(path) == without_links(database.path):
        raise StoreError(f"{path}: this is the database itself; name another file")
    if os.path.exists(path) and not (force and os.path.isfile(path)):
        fix = "name another file, or replace it with --force" if os.path.isfile(path) else "name a file"
        raise StoreError(f"{path} exists already: {fix}")
    if os.path.exists(f"{path}-wal"):
        raise StoreError(f"{path}-wal is beside it: a program has that database open; end it, or name another file")


def _sync(path: Path) -> None:
    """Makes a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
