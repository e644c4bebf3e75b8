"""Exports: chosen cells with all their rows, in a new database file that any SQLite tool reads.

The content is what a merge would add: no path of this machine, and no running attempt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, select, true, update

from asapbench.durable import check_place, replacing, sync_directories
from asapbench.errors import StoreError
from asapbench.paths import without_links
from asapbench.store import discards, migrate
from asapbench.store.cells import IS_KEPT, ORDER, readable_cell, require_suite
from asapbench.store.connect import Database, connect
from asapbench.store.merge import merge
from asapbench.store.records import Merged
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import suite_cell
from asapbench.suite.select import only

_NOBODY = {"host": "", "boot_id": "", "pid": 0, "pid_started": 0.0, "error": None, "log_tail": None}
"""The process of an attempt, blanked; errors and logs too, because they may name paths and users, as reasons may."""


@contextmanager
def written(path: Path, *, database: Database, force: bool) -> Iterator[Database]:
    """An empty database that becomes the file `path` if the block succeeds, and is removed if it fails.

    Raises AsapbenchError for a path that cannot be written.
    """
    if database.path is not None and without_links(path) == without_links(database.path):
        raise StoreError(f"{path}: this is the database itself; name another file")
    check_place(path, str(path), replace=force)
    if os.path.exists(f"{path}-wal"):
        raise StoreError(f"{path}-wal is beside it: a program has that database open; end it, or name another file")
    try:
        with replacing(path) as temporary:
            try:
                with closing(connect(str(temporary), writable=True)) as file:
                    migrate.upgrade(file)
                    yield file
            finally:
                temporary.with_name(f"{temporary.name}-journal").unlink(missing_ok=True)
        sync_directories(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: the export cannot be written: {error.strerror or error}") from error


def chosen(
    connection: Connection, *, suites: Sequence[str] = (), filters: Sequence[str] = (), with_discarded: bool = False
) -> list[str]:
    """The cells of these suites (default: all) that match the filters; without discarded ones, or with them.

    No filter matches a cell that this version cannot read. Raises StoreError for an unknown suite, SuiteError for a
    filter that no cell matches.
    """
    query = select(cells.c.id, cells.c.config).where(true() if with_discarded else IS_KEPT).order_by(*ORDER)
    if suites:
        for name in suites:
            require_suite(connection, name)
        named = select(suite_cell.c.cell_id).where(suite_cell.c.suite.in_(suites))
        query = query.where(cells.c.id.in_(named))
    configs: dict[str, str] = {row.id: row.config for row in connection.execute(query)}
    if not filters:
        return list(configs)
    readable = [cell for cell_id, config in configs.items() if (cell := readable_cell(config, cell_id)) is not None]
    return [cell.stored_id for cell in only(readable, filters)]


def fill(
    connection: Connection,
    file: Database,
    *,
    suites: Sequence[str],
    filters: Sequence[str],
    anonymous: bool,
) -> Merged:
    """Writes the chosen cells to the empty database `file`."""
    cell_ids = chosen(connection, suites=suites, filters=filters, with_discarded=True)
    with file.writing() as target:
        held = merge(connection, target, cell_ids=cell_ids, suite_names=suites or None)
        if anonymous:
            target.execute(update(attempts).values(_NOBODY))
            discards.without_reasons(target)
    return held
