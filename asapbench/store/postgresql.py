"""PostgreSQL: an engine whose transactions end when their host does, and what its faults mean.

Readers see one state of the database. Writers stand in line at an advisory lock, which the server takes back from a
holder that says nothing for a while: a host that loses power in the middle of a write holds nobody up for longer.
"""

from __future__ import annotations

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from asapbench.errors import StoreError

DRIVER = "postgresql+psycopg"

_WRITERS_LOCK = 0x61736170
_SILENT_SECONDS = 60
"""How long a writer may say nothing inside a transaction before the server ends its session."""

_CONNECTION = {
    "application_name": "asapbench",
    "connect_timeout": "10",
    # A server that has lost power does not say so: these find it out within a minute.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

_MENDS = {
    "25006": "cannot be written to: it is a standby, or read-only; name the primary server with --db",
    "42501": "gives this user too few rights: GRANT CREATE, USAGE ON SCHEMA public TO that user",
    "53100": "cannot grow, the server's disk is full: free some space and resume",
    "55P03": "is locked by another process: end that process, or wait, and try again",
}


def engine(url: URL, *, writable: bool, busy_seconds: float) -> Engine:
    """Connects to nothing yet. Raises ModuleNotFoundError without the driver, StoreError for another driver."""
    if url.drivername not in ("postgresql", DRIVER):
        raise StoreError(f"{url.drivername} is not a driver that asapbench uses: write {DRIVER}://USER@HOST/NAME")
    made = create_engine(
        url.set(drivername=DRIVER),
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        connect_args={key: value for key, value in _CONNECTION.items() if key not in url.query},
        execution_options={} if writable else {"postgresql_readonly": True},
    )

    def begin(connection: Connection) -> None:
        # In one message: the lock is what a write waits for. Each statement of a writer must see what was committed
        # before it got the lock, hence its own level of isolation.
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
    """Whether the server cannot be reached or has closed the connection: nothing is known against asking again."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state is None:
        return error.connection_invalidated or isinstance(error, OperationalError)
    # A connection that broke (class 08), a server that starts or stops (57P), or that has too many connections.
    return str(state).startswith(("08", "57P")) or state == "53300"


def reason(error: Exception) -> str:
    """What is wrong and how to mend it, in one line."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    line = " ".join(str(cause or error).split())
    mend = _MENDS.get(str(getattr(cause, "sqlstate", None)))
    if mend is not None:
        return f"{mend} ({line})"
    if is_away(error):
        return f"cannot be reached: is its server running, and are host, user and database right? ({line})"
    return f"cannot be used: {line}"
