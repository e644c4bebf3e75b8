"""PostgreSQL: an engine whose transactions end with their host, and the meaning of its faults.

Readers see one state of the database. Writers take turns by an advisory lock. The server ends a writer's session that
is silent for a while, so a host that loses power during a write does not block the others for longer.
"""

from __future__ import annotations

import re

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from asapbench.errors import StoreError

DRIVER = "postgresql+psycopg"

_WRITERS_LOCK = 0x61736170
_SILENT_SECONDS = 60
"""How long a writer may be silent inside a transaction before the server ends its session."""

_TOO_FEW_RIGHTS = ("42501", "3F000")
"""Insufficient privilege; no schema, as for a user without rights to any."""

_CONNECTION = {
    "application_name": "asapbench",
    "connect_timeout": "10",
    # A server that has lost power closes no connection: these detect it within a minute.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

_FIXES = {
    "25006": "cannot be written to: it is a standby, or read-only; name the primary server with --db",
    "53100": "cannot grow, the server's disk is full: free some space and resume",
    "55P03": "is locked by another process: end that process, or wait, and try again",
}


def engine(url: URL, *, writable: bool, busy_seconds: float) -> Engine:
    """Connects to nothing yet. Raises ModuleNotFoundError without the driver."""
    made = create_engine(
        url.set(drivername=DRIVER),
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        connect_args={key: value for key, value in _CONNECTION.items() if key not in url.query},
        execution_options={} if writable else {"postgresql_readonly": True},
    )

    def begin(connection: Connection) -> None:
        # One message, because each takes a round trip. Each statement of a writer must see what was committed before
        # it got the lock, hence its own level of isolation.
        if connection.get_execution_options().get("asapbench_writes", False):
            connection.exec_driver_sql(
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
                f"SET LOCAL idle_in_transaction_session_timeout = '{_SILENT_SECONDS}s'; "
                f"SET LOCAL lock_timeout = '{busy_seconds * 1000:.0f}ms'; "
                f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})"
            )

    event.listen(made, "begin", begin)
    return made


def is_away(error: Exception) -> bool:
    """Whether the server cannot be reached or has closed the connection, so that a retry may succeed."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state is None:
        return error.connection_invalidated or isinstance(error, OperationalError)
    # A connection that broke (class 08), a server that starts or stops (57P), or that has too many connections.
    return str(state).startswith(("08", "57P")) or state == "53300"


def reason(error: Exception, *, user: str | None) -> str:
    """What is wrong for `user` and how to fix it, in one line."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    line = " ".join(str(cause or error).split())
    state = str(getattr(cause, "sqlstate", None))
    if state in _TOO_FEW_RIGHTS:
        return f"{too_few_rights(user)} ({line})"
    if state in _FIXES:
        return f"{_FIXES[state]} ({line})"
    if is_away(error):
        return (
            "cannot be reached: is its server running, and are host, user, password and database right? May this user "
            f"connect to the database (GRANT CONNECT)? ({line})"
        )
    return f"cannot be used: {line}"


def too_few_rights(user: str | None) -> str:
    """The statements that give `user` every right that a run needs, those of a reader first."""
    name = "that user" if user is None else user if re.fullmatch(r"[a-z_][a-z0-9_]*", user) else f'"{user}"'
    return (
        "gives this user too few rights: as the owner of the database and its tables, "
        f"GRANT USAGE ON SCHEMA public TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}; and for a run "
        f"also GRANT CREATE ON SCHEMA public TO {name}; "
        f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name};"
    )


def require_visible(connection: Connection, name: str) -> None:
    """Raises StoreError if this user sees no schema: the tables would seem to be missing."""
    if connection.exec_driver_sql("SELECT current_schema()").scalar() is None:
        raise StoreError(f"{name} {too_few_rights(connection.engine.url.username)}")


def require_owner(connection: Connection, name: str, *, revision: str) -> None:
    """Raises StoreError if this user does not own the tables, which an upgrade changes."""
    query = (
        "SELECT tableowner, pg_has_role(tableowner, 'USAGE') FROM pg_tables "
        "WHERE tablename = 'alembic_version' AND schemaname = current_schema()"
    )
    owner, is_owner = connection.exec_driver_sql(query).one()
    if not is_owner:
        raise StoreError(
            f"{name} is at revision {revision}, and only the owner of its tables can upgrade it: run "
            f"`asapbench resume` once as {owner}"
        )
