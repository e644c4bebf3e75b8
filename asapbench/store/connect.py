"""From a URL to transactions: SQLite with its pragmas, or PostgreSQL; every database fault as a StoreError.

`Database.read` and `Database.write` are the usual ways to a connection: one transaction, repeated while a PostgreSQL
server restarts or the network fails. Writers of one database take turns (SQLite: BEGIN IMMEDIATE; PostgreSQL: an
advisory lock), so what a write transaction reads stays valid until it commits.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import quote, urlsplit

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from asapbench.errors import ServerAwayError, StoreError, UnavailableError, install_extra
from asapbench.paths import without_links
from asapbench.retry_policy import RETRY_SECONDS, RetryPolicy
from asapbench.store import postgresql
from asapbench.store.reading import Place, place_to_read
from asapbench.store.records import db_option, without_password
from asapbench.store.rows import UntrustedRowError

_URLS = "sqlite:///PATH or postgresql://HOST/NAME"

BUSY_SECONDS = 30.0
"""How long a writer waits for another one before it fails."""

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
        return db_option(self.url)

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
        with self._translated(), self.engine.connect() as connection:
            named = connection.execution_options(asapbench_database=self)
            with named.begin():
                yield named
        if self.place is not None and not self.place.unchanged():
            raise UnavailableError(f"{self.name} was written to while it was read: try again")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, as the only writer; afterwards all of it is durable, or nothing. Raises StoreError."""
        self._require_writable()
        with self._translated(), self.engine.connect() as connection:
            alone = connection.execution_options(asapbench_writes=True, asapbench_database=self)
            with alone.begin():
                yield alone

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

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()
        if self.place is not None:
            self.place.close()

    def _require_writable(self) -> None:
        if not self.writable:
            raise StoreError(f"{self.name} was opened for reading only")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            if self.path is not None:
                fault = UnavailableError if _sqlite_code(error).startswith(_UNAVAILABLE) else StoreError
                raise fault(f"{self.name} {_sqlite_reason(error, db=self.option)}") from error
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
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(_named_file(parsed, url), url=url, writable=writable)
    return _postgresql(parsed, writable=writable)


def file_of(url: str) -> Path | None:
    """The file that `url` names, absolute; None for PostgreSQL. Raises StoreError as `connect` does."""
    parsed = _parsed(url)
    return _named_file(parsed, url).absolute() if parsed.get_backend_name() == "sqlite" else None


def _parsed(url: str) -> URL:
    if "://" not in url:
        if re.match(r"(sqlite|file|postgresql)(\+\w+)?:", url):
            raise StoreError(f"{without_password(url)!r} is not the URL of a database: use {_URLS}, or a path alone")
        return URL.create("sqlite", database=url)
    try:
        parsed = make_url(url)
        urlsplit(url)  # checks brackets too
    except (ArgumentError, ValueError) as error:  # a ValueError is a port that is not a number
        raise StoreError(f"{without_password(url)!r} is not the URL of a database: use {_URLS}") from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"{_shown(parsed)}: use {_URLS}")
    return parsed


def _shown(url: URL) -> str:
    return without_password(url.render_as_string(hide_password=False))


def _named_file(parsed: URL, url: str) -> Path:
    if not parsed.database or parsed.database == ":memory:":
        raise StoreError(f"{url!r} names no file: write sqlite:///results/asapbench.sqlite, for example")
    if fault := _unused(parsed, url):
        raise StoreError(f"{without_password(url)!r} {fault}")
    return Path(parsed.database)


def _sqlite(shown: Path, *, url: str, writable: bool) -> Database:
    path = shown.absolute()
    file = without_links(path)
    place = Place(file, "mode=rwc") if writable else place_to_read(file, name=str(shown))
    where = f"file:{quote(os.fsencode(place.file))}?{place.parameters}"

    def open_one() -> sqlite3.Connection:
        return sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite:///unused", creator=open_one)
    event.listen(engine, "connect", _set_pragmas if writable else _set_pragmas_of_reader)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine, url, str(shown), path, writable, place=place)


def _unused(parsed: URL, url: str) -> str | None:
    """The part of a SQLite URL that would have no effect, and how to fix it; None where there is none."""
    if parsed.drivername.lower() not in ("sqlite", "sqlite+pysqlite"):
        return "names a driver that asapbench does not use: write sqlite:///PATH"
    if parsed.host or parsed.username or parsed.port:
        return "names a host, which SQLite has none of: write sqlite:///PATH, with four slashes for an absolute path"
    if "://" in url and "?" in url:
        return "has parameters, which asapbench does not use: leave out what follows ? (write %3F for a ? in a name)"
    return None


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _set_pragmas_of_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("asapbench_writes", False)
    raw = connection.connection.driver_connection  # bare: SQLAlchemy takes longer for a statement than SQLite
    assert isinstance(raw, sqlite3.Connection)
    raw.execute("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(parsed: URL, *, writable: bool) -> Database:
    name = _shown(parsed)
    try:
        engine = postgresql.engine(parsed, writable=writable, busy_seconds=BUSY_SECONDS)
    except ModuleNotFoundError as error:
        raise StoreError(f"{name} needs a driver: {install_extra('postgres')} ({error})") from error
    return Database(
        engine, parsed.render_as_string(hide_password=False), name, None, writable, RetryPolicy(RETRY_SECONDS)
    )


def _cause(error: Exception) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _sqlite_code(error: Exception) -> str:
    """SQLite's name of the fault, such as SQLITE_BUSY_RECOVERY; empty for other faults."""
    return getattr(_cause(error), "sqlite_errorname", "")


def _sqlite_reason(error: Exception, *, db: str) -> str:
    cause, code = _cause(error), _sqlite_code(error)
    for name, fix in _FIXES.items():
        if code.startswith(name):
            return f"{fix.format(db=db)} ({cause})"
    return f"cannot be used: {cause or error}"
