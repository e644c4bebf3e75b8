"""Decisions to discard a cell's results, and to restore them: appended, never changed. The last one of a cell counts.

A discarded result stays in the database with all its rows. Readers of results leave it out, and a run does not claim
its cell again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select

from asapbench.errors import StoreError
from asapbench.store.cells import IS_LATEST, chunks, option_of
from asapbench.store.records import Discard
from asapbench.store.rows import checked, storable
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import discard as decisions
from asapbench.store.schema import suite_cell


def discard(connection: Connection, cell_ids: Sequence[str], reason: str, *, decided_at: str = "") -> None:
    """Discards these cells; one that is discarded already keeps its reason.

    Raises StoreError, and discards none, if one is running.
    """
    for part in chunks(cell_ids):
        query = select(attempts.c.cell_id).where(attempts.c.cell_id.in_(part), attempts.c.state == "running")
        if (busy := connection.scalars(query).first()) is not None:
            status = f"`asapbench status{option_of(connection)}`"
            raise StoreError(
                f"cell {busy[:10]} is running: stop its run (Ctrl-C) or wait for it, then discard it; {status} shows it"
            )
    known = current(connection, cell_ids=cell_ids)
    _decide(connection, [one for one in cell_ids if one not in known], True, reason, decided_at=decided_at)


def restore(connection: Connection, cell_ids: Sequence[str], *, decided_at: str = "") -> None:
    """Restores those of these cells that are discarded."""
    known = current(connection, cell_ids=cell_ids)
    _decide(connection, [one for one in cell_ids if one in known], False, None, decided_at=decided_at)


def train_again(connection: Connection, cell_ids: Sequence[str], *, decided_at: str = "") -> None:
    """Decides that what these cells train from now on counts, whether they are discarded here or not.

    So an earlier decision of another database to discard one of them does not count after a merge. A cell whose last
    decision says so already, and is not older, gets no other one: the call may be a repetition.
    """
    known: set[str] = set()
    for part in chunks(cell_ids):
        query = select(decisions.c.cell_id).where(decisions.c.cell_id.in_(part), IS_LATEST)
        known.update(connection.scalars(query.where(~decisions.c.discarded, decisions.c.decided_at >= decided_at)))
    wanted = [one for one in cell_ids if one not in known]
    _decide(connection, wanted, False, "trained again", decided_at=decided_at)


def current(
    connection: Connection, *, suite: str | None = None, cell_ids: Sequence[str] | None = None
) -> dict[str, Discard]:
    """The cells that are discarded now, of a suite, of these cells, or of all, by identity."""
    if cell_ids is not None:
        parts = [_current(connection, suite, part) for part in chunks(cell_ids)]
        return {cell_id: found for part in parts for cell_id, found in part.items()}
    return _current(connection, suite, None)


def without_reasons(connection: Connection) -> None:
    """Blanks the reasons of all decisions. Each has a new identity; those that differ in the reason only become one."""
    rows = [dict(row) | {"reason": None} for row in connection.execute(select(decisions)).mappings()]
    blank = {decision_id(row): row for row in rows}
    connection.execute(delete(decisions))
    if blank:
        connection.execute(insert(decisions), [row | {"id": name} for name, row in blank.items()])


def _current(connection: Connection, suite: str | None, cell_ids: Sequence[str] | None) -> dict[str, Discard]:
    columns = [decisions.c[name] for name in ("cell_id", "reason", "decided_at")]
    query = select(*columns).where(decisions.c.discarded, IS_LATEST).order_by(decisions.c.decided_at, decisions.c.id)
    if cell_ids is not None:
        query = query.where(decisions.c.cell_id.in_(cell_ids))
    if suite is not None:
        query = query.where(decisions.c.cell_id.in_(select(suite_cell.c.cell_id).where(suite_cell.c.suite == suite)))
    return {row["cell_id"]: checked(Discard, row) for row in connection.execute(query).mappings()}


def decision_id(row: Mapping[str, Any] | RowMapping) -> str:
    """The digest that names a decision in every database: of its row without the id."""
    content = {name: row[name] for name in ("cell_id", "decided_at", "discarded", "reason")}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _decide(
    connection: Connection, cell_ids: Sequence[str], discarded: bool, reason: str | None, *, decided_at: str
) -> None:
    rows = []
    for part in chunks(cell_ids):
        latest = select(decisions.c.cell_id, func.max(decisions.c.decided_at).label("at"))
        query = latest.where(decisions.c.cell_id.in_(part)).group_by(decisions.c.cell_id)
        before: dict[str, str] = {row.cell_id: row.at for row in connection.execute(query)}
        for cell_id in part:
            # Later than the decision that it revises, which may be of a machine whose clock is ahead.
            time = max(decided_at, _next(before[cell_id])) if cell_id in before else decided_at
            row = {"cell_id": cell_id, "decided_at": time, "discarded": discarded, "reason": storable(reason)}
            rows.append(row | {"id": decision_id(row)})
    if rows:
        connection.execute(insert(decisions), rows)


def _next(time: str) -> str:
    return (datetime.fromisoformat(time) + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
