"""Rows of analyses of trained cells: appended, never changed. Of several rows of one quantity the newest counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from asapbench.metrics import Measurement
from asapbench.store.attempts import record_provenance
from asapbench.store.cells import chunks
from asapbench.store.records import Provenance
from asapbench.store.rows import checked
from asapbench.store.schema import measurement

_COLUMNS = [measurement.c[field.name] for field in fields(Measurement)]


def add(
    connection: Connection,
    analysis: str,
    attempt_id: str,
    rows: Sequence[Measurement],
    provenance: Provenance,
    *,
    measured_at: str = "",
) -> None:
    """Appends an analysis of a trained cell; an earlier analysis stays, and no longer counts.

    A second call with the same `measured_at` appends nothing, so that it can be repeated.
    """
    owner = {"analysis": analysis, "attempt_id": attempt_id, "measured_at": measured_at}
    there = select(*_COLUMNS).where(*(measurement.c[name] == value for name, value in owner.items()))
    if [Measurement(*row) for row in connection.execute(there.order_by(measurement.c.id))] == list(rows):
        return
    owner["provenance_id"] = record_provenance(connection, provenance)
    connection.execute(insert(measurement), [owner | asdict(row) for row in rows])


def newest(connection: Connection, analysis: str, attempt_ids: Sequence[str]) -> dict[str, list[Measurement]]:
    """The newest rows of an analysis, for each of these attempts that has any."""
    found: dict[str, dict[tuple[str, str], Measurement]] = {}
    for part in chunks(attempt_ids):
        query = (
            select(measurement.c.attempt_id, *_COLUMNS)
            .where(measurement.c.analysis == analysis, measurement.c.attempt_id.in_(part))
            .order_by(measurement.c.measured_at, measurement.c.id)
        )
        for values in connection.execute(query).mappings():
            row = checked(Measurement, values)
            found.setdefault(values["attempt_id"], {})[row.layer, row.quantity] = row
    return {attempt_id: list(rows.values()) for attempt_id, rows in found.items()}
