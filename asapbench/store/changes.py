"""Whether anything has changed in a database since it was last read."""

from __future__ import annotations

from sqlalchemy import Connection, Select, func, select

from asapbench.store.schema import LAYER_TABLES, attempt, cell, certificate, discard, measurement, suite, suite_cell


def mark(connection: Connection) -> str:
    """A text that stays the same as long as a reader of results would find the same; leases do not count.

    No row of an epoch is read: an attempt counts its epochs.
    """
    return " ".join(str(value) for query in _queries() for value in connection.execute(query).one())


def _queries() -> list[Select[tuple[object, ...]]]:
    count = func.count()
    ids = [select(func.max(table.c.id)) for table in (*LAYER_TABLES, measurement)]
    return [
        select(
            count,
            func.sum(attempt.c.epochs_done),
            func.max(attempt.c.started_at),
            func.count(attempt.c.ended_at),
            func.max(attempt.c.ended_at),
            count.filter(attempt.c.superseded),
        ).select_from(attempt),
        *ids,
        select(count, func.max(certificate.c.checked_at)).select_from(certificate),
        select(count, func.max(discard.c.decided_at)).select_from(discard),
        select(count, func.max(suite.c.updated_at)).select_from(suite),
        select(count).select_from(suite_cell),
        select(count).select_from(cell),
    ]
