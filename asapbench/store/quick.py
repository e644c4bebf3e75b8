"""Epochs recorded as a run mostly records them, on a bare SQLite connection.

There SQLAlchemy's own work takes as long as the disk. The statements are those of `claims` and `epochs`; whatever is
unusual is left to them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from sqlalchemy.dialects.sqlite import dialect

from asapbench.store import claims, epochs
from asapbench.store.records import Measured
from asapbench.store.schema import epoch_metrics

_SQLITE = dialect(paramstyle="named")
_ADVANCE_PAST = claims.ADVANCE_PAST.compile(dialect=_SQLITE)
_ADVANCE, _FIXED = str(_ADVANCE_PAST), _ADVANCE_PAST.params
_INSERT = str(epochs.INSERT.compile(dialect=_SQLITE, column_keys=[column.name for column in epoch_metrics.columns]))


def record(connection: sqlite3.Connection, measured: Sequence[Measured]) -> bool:
    """Adds the epochs of every claim, inside the caller's transaction.

    False where a claim is not current, or there are angles, or epochs that are not after all of their lineage's: then
    the transaction is to be rolled back, and `claims.record_many` to decide.
    """
    for item in measured:
        given = claims.given_to_advance(item.claim, item.epochs)
        if item.alignment or given is None:
            return False
        if connection.execute(_ADVANCE, {**_FIXED, **given}).rowcount != 1:
            return False
        connection.executemany(_INSERT, epochs.values_of(item.claim, item.epochs))
    return True
