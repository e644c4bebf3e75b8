"""From a URL to transactions: SQLite with its pragmas, or PostgreSQL; every database fault as a StoreError.

The URL `MEASURED_URL` names the measured results that come with asapbench, which are opened for reading alone.

`Database.read` and `Database.write` are the usual ways to a connection: one transaction, repeated while a PostgreSQL
server restarts or the network fails. Writers of one database take turns (SQLite: BEGIN IMMEDIATE; PostgreSQL: an
advisory lock), so what a write transaction reads stays valid until it commits.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, urlsplit

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from asapbench.errors import ServerAwayError, StoreError, UnavailableError, install_extra
from asapbench.paths import shipped, without_links
from asapbench.retry_policy import RETRY_SECONDS, RetryPolicy
from asapbench.store import postgresql
from asapbench.store.reading import Place, place_to_read
from asapbench.store.records import MEASURED_URL, db_option, without_password
from asapbench.store.rows import UntrustedRowError

_URLS = "sqlite:///PATH or postgresql://HOST/NAME"

BUSY_SECONDS = 30.0
"""How long a writer waits for another one before it fails."""

_LOG_SECONDS = 2.0
"""How long the end of a writer waits for readers of its log."""

P = ParamSpec("P")
T = TypeVar("T")

_QUARANTINE = "`asapbench doctor --quarantine{db}` renames it and deletes nothing"

_DAMAGED = f"is damaged: restore it from a copy, or save its rows with `sqlite3 FILE .recover`; {_QUARANTINE}"

_FIXES = {
    "SQLITE_NOTADB": f"is not a SQLite database: name another file; if it was one, {_QUARANTINE}",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_READONLY": "cannot be written to: make the file and its directory writable, or name another with --db",
    "SQLITE_BUSY": "is locked by another process: end that process, or wait, and try again",
    "SQLITE_LOCKED": "is locked by another process: end that process, or wait, and try again",
    "SQLITE_CANTOPEN": "cannot be opened: check that it is a file in a directory that you may use",
    "SQLITE_FULL": "cannot grow, the disk is full: free some space and resume",
    "SQLITE_IOERR": "cannot be read or written: check the disk, and that it is not a network share",
}

_UNAVAILABLE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""Temporary faults. The last one is also a full disk, detected while the -shm file grows."""


@dataclass
class Database:
    """An open database. `path` is the file of a SQLite database, `name` its name in messages.

    `retry_policy` waits for a server that is away; in a run also for a locked SQLite database or a full disk. `place`
    is where a SQLite database is opened.
    """

    engine: Engine
    url: str
    name: str
    path: Path | None
    writable: bool
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    place: Place | None = None

    @property
    def option(self) -> str:
        """` --db URL` for a command to paste; empty for the default database."""
        return db_option(self.name if self.url == MEASURED_URL else self.url)

    def damaged(self, cause: object) -> StoreError:
        """The error of a file whose structure is damaged."""
        return StoreError(f"{self.name} {_DAMAGED.format(db=self.option)} ({cause})")

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work` on one state of the database. Raises StoreError, and what `work` raises."""
        return self._with_retries(self.reading, work, *args, **kwargs)

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `work` in one transaction, as the only writer. Raises StoreError, and what `work` raises.

        A server may commit and fail before it answers: then `work` runs again, and must find its own traces.
        """
        return self._with_retries(self.writing, work, *args, **kwargs)

    def _with_retries(
        self,
        transaction: Callable[[], AbstractContextManager[Connection]],
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def whole() -> T:
            with transaction() as connection:
                return work(connection, *args, **kwargs)

        return self.retry_policy.call(whole)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that reads one state of the database. Raises StoreError."""
        with self._transaction() as connection:
            yield connection
        if self.place is not None and not self.place.unchanged():
            raise UnavailableError(f"{self.name} was written to while it was read: try again")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, as the only writer; afterwards all of it is durable, or nothing. Raises StoreError."""
        if not self.writable:
            raise StoreError(f"{self.name} was opened for reading only")
        with self._transaction(asapbench_writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, **options: bool) -> Iterator[Connection]:
        with self._translated(), self.engine.connect() as connection:
            connection.execution_options(asapbench_database=self, **options)
            with connection.begin():
                yield connection

    @contextmanager
    def outside_transactions(self) -> Iterator[sqlite3.Connection]:
        """A bare SQLite connection, for statements that no transaction allows. Raises StoreError."""
        with self._translated():
            pooled = self.engine.raw_connection()
            try:
                raw = pooled.driver_connection
                assert isinstance(raw, sqlite3.Connection)
                yield raw
            finally:
                pooled.close()

    def empty_log(self) -> None:
        """Moves what is in the write-ahead log into the file, which then has everything by itself.

        SQLite does so at its last close, but not while another process reads. Where that takes too long, or fails, the
        log keeps it, as durable as the file, and the next writer moves it.
        """
        if self.path is None or not self.writable:
            return
        with suppress(StoreError), self.outside_transactions() as raw:
            raw.execute(f"PRAGMA busy_timeout = {round(1000 * _LOG_SECONDS)}")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()
        if self.place is not None:
            self.place.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            if self.path is not None:
                raise _sqlite_fault(error, self) from error
            kind = ServerAwayError if postgresql.is_away(error) else StoreError
            raise kind(f"{self.name} {postgresql.reason(error, user=self.engine.url.username)}") from error
        except UntrustedRowError as error:
            raise StoreError(f"{self.name} {error}") from error
        except UnicodeDecodeError as error:  # SQLite's message about a damaged schema contains the damaged bytes
            raise self.damaged(error) from error


def connect(url: str, *, writable: bool) -> Database:
    """The database at `url`, a URL or the path of a SQLite file. Opens no connection yet.

    Raises StoreError for a URL that names no database this version can use.
    """
    if url == MEASURED_URL:
        return _measured(writable=writable)
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(_named_file(parsed, url), url=url, writable=writable)
    return _postgresql(parsed, writable=writable)


def file_of(url: str) -> Path | None:
    """The file that `url` names, absolute; None for PostgreSQL. Raises StoreError as `connect` does."""
    if url == MEASURED_URL:
        return _measured_file()
    parsed = _parsed(url)
    return _named_file(parsed, url).absolute() if parsed.get_backend_name() == "sqlite" else None


def _measured(*, writable: bool) -> Database:
    """The measured results that come with asapbench, never to be written to. Raises StoreError."""
    if writable:
        raise StoreError(f"{MEASURED_URL} names the measured results that come with asapbench, which are only read")
    file = _measured_file()
    if not file.is_file():
        raise StoreError(f"{file}: this installation lacks the measured results: install asapbench again")
    return _sqlite(file, url=MEASURED_URL, writable=False)


def _measured_file() -> Path:
    return shipped("results/measured/measured.sqlite", in_wheel="store/measured.sqlite")


def _parsed(url: str) -> URL:
    shown = repr(without_password(url))
    if "://" not in url and not re.match(r"(sqlite|file|postgresql)(\+\w+)?:", url):
        return URL.create("sqlite", database=url)
    try:
        parsed = make_url(url)
        urlsplit(url)  # checks brackets too
    except (ArgumentError, ValueError) as error:  # a ValueError is a port that is not a number
        raise StoreError(f"{shown} is not the URL of a database: use {_URLS}, or a path alone") from error
    if parsed.drivername.lower() not in ("sqlite", "sqlite+pysqlite", "postgresql", postgresql.DRIVER):
        raise StoreError(f"{shown} names a driver that asapbench does not use: use {_URLS}")
    return parsed


def _named_file(parsed: URL, url: str) -> Path:
    shown = repr(without_password(url))
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"{shown} names no file: write sqlite:///results/asapbench.sqlite, for example")
    if parsed.host or parsed.username or parsed.port:
        fix = "write sqlite:///PATH, with four slashes for an absolute path"
        raise StoreError(f"{shown} names a host, which SQLite has none of: {fix}")
    if "://" in url and "?" in url:
        fix = "leave out what follows ? (write %3F for a ? in a name)"
        raise StoreError(f"{shown} has parameters, which asapbench does not use: {fix}")
    return Path(parsed.database)


def _sqlite(shown: Path, *, url: str, writable: bool) -> Database:
    path = shown.absolute()
    file = without_links(path)
    is_ours = url != MEASURED_URL
    place = Place(file, "mode=rwc") if writable else place_to_read(file, name=str(shown), may_write_beside=is_ours)
    where = f"file:{quote(os.fsencode(place.file))}?{place.parameters}"

    def open_one() -> sqlite3.Connection:
        return sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite:///unused", creator=open_one)
    event.listen(engine, "connect", partial(_set_pragmas, writable=writable))
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine, url, str(shown), path, writable, place=place)


def _set_pragmas(connection: sqlite3.Connection, _record: object, *, writable: bool) -> None:
    for pragma in ("foreign_keys = ON", "synchronous = FULL") if writable else ("query_only = ON",):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("asapbench_writes", False)
    raw = connection.connection.driver_connection  # bare: SQLAlchemy takes longer for a statement than SQLite
    assert isinstance(raw, sqlite3.Connection)
    raw.execute("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(parsed: URL, *, writable: bool) -> Database:
    url = parsed.render_as_string(hide_password=False)
    name = without_password(url)
    try:
        engine = postgresql.engine(parsed, writable=writable, busy_seconds=BUSY_SECONDS)
    except ModuleNotFoundError as error:
        raise StoreError(f"{name} needs a driver: {install_extra('postgres')} ({error})") from error
    return Database(engine, url, name, None, writable, RetryPolicy(RETRY_SECONDS))


def _sqlite_fault(error: Exception, database: Database) -> StoreError:
    """The fault of a database, and how to fix it."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorname", "")  # such as SQLITE_BUSY_RECOVERY
    kind = UnavailableError if code.startswith(_UNAVAILABLE) else StoreError
    fix = next((fix.format(db=database.option) for start, fix in _FIXES.items() if code.startswith(start)), None)
    return kind(f"{database.name} {f'cannot be used: {cause or error}' if fix is None else f'{fix} ({cause})'}")
