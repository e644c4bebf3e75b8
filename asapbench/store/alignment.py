"""Rows of angles: one for each layer, quantity and epoch of a lineage, written once. A repeat must be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select

from asapbench.errors import EpochConflictError
from asapbench.metrics import Alignment
from asapbench.store.records import Claim
from asapbench.store.rows import checked
from asapbench.store.schema import alignment

_COLUMNS = [alignment.c[field.name] for field in fields(Alignment)]


def of_lineage(connection: Connection, lineage: str, *, only: Sequence[int] = ()) -> list[Alignment]:
    """The angles of a lineage by epoch, layers in forward order: all, or from the smallest to the largest of `only`."""
    query = select(*_COLUMNS).where(alignment.c.lineage == lineage).order_by(alignment.c.epoch, alignment.c.id)
    if only:
        query = query.where(alignment.c.epoch.between(min(only), max(only)))
    return [checked(Alignment, row) for row in connection.execute(query).mappings()]


def missing(connection: Connection, claim: Claim, rows: Sequence[Alignment]) -> list[Alignment]:
    """The `rows` that are not stored yet. Raises StoreError for one that differs from its stored row."""
    if not rows:
        return []
    known = {_place(row): row for row in of_lineage(connection, claim.lineage, only=[row.epoch for row in rows])}
    new = []
    for row in rows:
        before = known.setdefault(_place(row), row)
        if before is row:
            new.append(row)
        elif before != row:
            raise EpochConflictError(
                f"cell {claim.cell_id[:10]}: after epoch {row.epoch} the angle of {row.layer} ({row.quantity}) is "
                f"{row.degrees!r}, was {before.degrees!r}; "
                f"`asapbench rerun --only cell={claim.cell_id[:10]}` trains it again"
            )
    return new


def add(connection: Connection, claim: Claim, rows: Sequence[Alignment]) -> None:
    """Inserts `rows`, which must be `missing`."""
    if rows:
        owner = {"attempt_id": claim.attempt_id, "lineage": claim.lineage}
        connection.execute(insert(alignment), [owner | asdict(row) for row in rows])


def _place(row: Alignment) -> tuple[int, str, str]:
    return row.epoch, row.layer, row.quantity
