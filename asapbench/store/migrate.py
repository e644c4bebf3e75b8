"""Upgrades a database to the revision that this version reads and writes. Nothing is ever deleted.

One migration runs at a time (a lock file beside a SQLite database, and the writers' lock), in one transaction: a
database is at one revision or at the next, never between. Alembic is imported only if there is something to do.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from asapbench.errors import NoDatabaseError, StoreError
from asapbench.paths import without_links
from asapbench.store import postgresql, views
from asapbench.store.connect import Database
from asapbench.store.rows import RESTORE_IT, UntrustedRowError

MIGRATIONS = Path(__file__).parent / "migrations"
KNOWN = tuple(sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py")))
"""Every revision, oldest first: a migration is one file."""
HEAD = KNOWN[-1]

LOCK_SECONDS = 60.0


def prepare(database: Database) -> str | None:
    """Creates an empty database, or upgrades an older one and returns its earlier revision.

    Raises StoreError for one that asapbench may not change.
    """
    if _revision(database) == HEAD and _is_wal(database):
        return None
    with _lock(database):
        _write_ahead(database)
        with database.writing() as connection:
            revision = _checked_revision(connection, database)
            if revision is not None and revision != HEAD and database.path is None:
                postgresql.require_owner(connection, database.name, revision=revision)
            if revision == HEAD:
                return None
            _upgrade(connection)
            return revision


def upgrade(database: Database, *, to: str = HEAD) -> None:
    """Creates an empty database at a revision, in one file without a write-ahead log, or upgrades such a database."""
    with database.writing() as connection:
        _upgrade(connection, to=to)


def check(database: Database) -> None:
    """Raises StoreError unless the database is at this version's revision, which a reader cannot change.

    NoDatabaseError if it is empty: a new PostgreSQL database is.
    """
    revision = require_results(database)
    if revision != HEAD:
        copy = f", or `asapbench merge {shlex.quote(database.name)} --db NEW.sqlite` copies its results to a new one"
        raise StoreError(
            f"{database.name} is at revision {revision}, this version reads {HEAD}: "
            f"`asapbench upgrade{database.option}` upgrades it{copy if database.path else ''}"
        )


def require_results(database: Database) -> str:
    """The revision of the database. Raises NoDatabaseError if it is empty."""
    revision = _revision(database)
    if revision is None:
        raise NoDatabaseError(f"{database.name} holds no results yet: run a suite first, or name another with --db")
    return revision


def _revision(database: Database) -> str | None:
    with database.reading() as connection:
        return _checked_revision(connection, database)


def _checked_revision(connection: Connection, database: Database) -> str | None:
    name = database.name
    if database.path is None:
        postgresql.require_visible(connection, name)
    tables = inspect(connection).get_table_names()
    if "alembic_version" not in tables:
        if tables:
            raise StoreError(f"{name} is a database of another program: name another with --db")
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and revision not in KNOWN:
        raise StoreError(
            f"{name} is at revision {revision}, which this version does not know: "
            "upgrade asapbench, or name another with --db"
        )
    return None if revision is None else str(revision)


def _is_wal(database: Database) -> bool:
    if database.path is None:
        return True
    with database.reading() as connection:
        return connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def _write_ahead(database: Database) -> None:
    """Sets WAL mode: readers and the writer do not wait for each other. The mode stays with the file."""
    if database.path is None:
        return
    with database.outside_transactions() as raw:
        raw.execute("PRAGMA journal_mode = WAL")


def _upgrade(connection: Connection, *, to: str = HEAD) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
        if to == HEAD:
            views.make(connection)
    except CommandError as error:
        raise UntrustedRowError(f"cannot be upgraded ({error}): {RESTORE_IT}") from error


@contextmanager
def _lock(database: Database) -> Iterator[None]:
    if database.path is None:
        yield
        return
    from filelock import FileLock, Timeout

    file = without_links(database.path)  # one lock, by whichever link the database is named
    lock = file.with_name(f"{file.name}.lock")
    try:
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise StoreError(f"{database.name} is being upgraded by another process, which holds {lock.name}") from error
    except OSError as error:
        raise StoreError(f"{lock.name} beside {database.name} cannot be made: {error.strerror}") from error
