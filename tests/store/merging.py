"""Databases made row by row, merged and compared, for the tests of merging."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from store_examples import PROVENANCE, a_cell

from asapbench.store import merge, migrate
from asapbench.store.attempts import record_provenance
from asapbench.store.cells import insert_missing
from asapbench.store.connect import connect

LOCAL = {
    "cell": {"recorded_at"},
    "suite": {"source", "updated_at"},
    "suite_cell": {"position"},
    "attempt": {"weights_path"},
    "alignment": {"id"},
    "gradient_quality": {"id"},
    "measurement": {"id"},
}
"""What a database says only of its own place: when it recorded what, where weights lie, how rows are counted."""

LAYERS = ("alignment", "gradient_quality")
TABLES = (
    "cell",
    "suite",
    "suite_cell",
    "provenance",
    "attempt",
    "epoch_metrics",
    *LAYERS,
    "measurement",
    "certificate",
    "discard",
)


def content(path: Path) -> dict[str, list[tuple]]:
    """Everything a database holds, in an order that does not depend on how it came in."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    found = {}
    for table in TABLES:
        local = LOCAL.get(table, set())
        rows_seen = [tuple(v for k, v in row.items() if k not in local) for row in rows(path, table)]
        found[table] = sorted(rows_seen, key=repr)
    return found


def rows(path: Path, table: str) -> list[dict]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]


class Workshop:
    """A folder of databases, each made from one empty one."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._empty = folder / "empty.sqlite"
        with closing(connect(str(self._empty), writable=True)) as database:
            migrate.upgrade(database)

    def copy(self, path: Path | None = None) -> Path:
        self._made += 1
        new = self._folder / f"{self._made}.sqlite"
        shutil.copy(path or self._empty, new)
        return new

    def merged(self, first: Path, *others: Path) -> Path:
        """A new database: the others merged into a copy of the first, one after the other. None is changed."""
        new = self.copy(first)
        for other in others:
            self.into(new, other)
        return new

    def into(self, target: Path, source: Path):
        with (
            closing(connect(str(target), writable=True)) as ours,
            closing(connect(str(source), writable=False)) as theirs,
            theirs.reading() as reading,
            ours.writing() as writing,
        ):
            return merge.merge(reading, writing)

    def filled(self, tables: dict[str, list[dict]], *, seeds: int = 2) -> Path:
        """A database of these rows, by the name of their table; it also has the example cells and provenance."""
        from sqlalchemy import insert

        from asapbench.store.schema import metadata

        new = self.copy()
        with closing(connect(str(new), writable=True)) as database, database.writing() as connection:
            insert_missing(connection, [a_cell(seed) for seed in range(seeds)])
            record_provenance(connection, PROVENANCE)
            for name, given in tables.items():
                if given:
                    connection.execute(insert(metadata.tables[name]), given)
        return new
