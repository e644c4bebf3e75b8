"""Rows of epochs: one for each epoch of a lineage, written once. A repeated epoch must repeat the result.

NaN is stored as NULL, the only form that SQLite keeps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select

from asapbench.errors import EpochConflictError
from asapbench.metrics import HOW_FAST, EpochMetrics
from asapbench.store.records import Claim
from asapbench.store.rows import checked
from asapbench.store.schema import epoch_metrics

_NAMES = tuple(field.name for field in fields(EpochMetrics))
_NAN_IF_NULL = tuple(f.name for f in fields(EpochMetrics) if f.type == "float" and epoch_metrics.c[f.name].nullable)
INSERT = insert(epoch_metrics)
"""Built once: building it costs more than SQLite takes to run it."""


@dataclass(frozen=True)
class Summary:
    """The accuracies of a lineage, by the names of the attempt's columns. Of equal epochs the earliest is the best."""

    last_test_accuracy: float | None = None
    best_test_accuracy: float | None = None
    best_test_epoch: int | None = None
    best_val_test_accuracy: float | None = None
    best_val_epoch: int | None = None


def of_lineage(connection: Connection, lineage: str, *, only: Sequence[int] = ()) -> list[EpochMetrics]:
    """The epochs of a lineage, in order: all, or those from the smallest to the largest of `only`."""
    columns = [epoch_metrics.c[name] for name in _NAMES]
    query = select(*columns).where(epoch_metrics.c.lineage == lineage).order_by(epoch_metrics.c.epoch)
    if only:
        query = query.where(epoch_metrics.c.epoch.between(min(only), max(only)))
    return [_metrics(row) for row in connection.execute(query).mappings()]


def missing(connection: Connection, claim: Claim, rows: Sequence[EpochMetrics]) -> list[EpochMetrics]:
    """The `rows` that are not stored yet. Raises StoreError for one that differs from its stored row."""
    if not rows:
        return []
    stored = {row.epoch: row for row in of_lineage(connection, claim.lineage, only=[row.epoch for row in rows])}
    new: dict[int, EpochMetrics] = {}
    for row in rows:
        known = stored.get(row.epoch) or new.get(row.epoch)
        if known is None:
            new[row.epoch] = row
        elif not row.same_result(known):
            raise EpochConflictError(
                f"cell {claim.cell_id[:10]}: epoch {row.epoch} gave another result than before "
                f"({_differences(row, known)}); `asapbench rerun --only cell={claim.cell_id[:10]}` trains it again"
            )
    return list(new.values())


def add(connection: Connection, claim: Claim, rows: Sequence[EpochMetrics]) -> None:
    """Inserts `rows`, which must be `missing`."""
    if rows:
        connection.execute(INSERT, values_of(claim, rows))


def values_of(claim: Claim, rows: Sequence[EpochMetrics]) -> list[dict[str, Any]]:
    """The parameters of `INSERT` for `rows`."""
    owner = {"attempt_id": claim.attempt_id, "lineage": claim.lineage}
    return [owner | _values(row) for row in rows]


def newest(connection: Connection, lineage: str) -> int:
    """The lineage's last epoch; 0 before the first."""
    query = select(func.max(epoch_metrics.c.epoch)).where(epoch_metrics.c.lineage == lineage)
    return connection.scalar(query) or 0


def summary(rows: Sequence[EpochMetrics]) -> Summary:
    """Test accuracy at the last epoch, the best over epochs, and the one at the best validation epoch."""
    if not rows:
        return Summary()
    ordered = sorted(rows, key=lambda row: row.epoch)
    finite = [row for row in ordered if not math.isnan(row.test_accuracy)]
    held_out = [r for r in ordered if r.validation_accuracy is not None and not math.isnan(r.validation_accuracy)]
    best = max(finite, key=lambda row: row.test_accuracy, default=None)
    best_val = max(held_out, key=lambda row: row.validation_accuracy or 0.0, default=None)
    return Summary(
        last_test_accuracy=_null_if_nan(ordered[-1].test_accuracy),
        best_test_accuracy=best.test_accuracy if best else None,
        best_test_epoch=best.epoch if best else None,
        best_val_test_accuracy=_null_if_nan(best_val.test_accuracy) if best_val else None,
        best_val_epoch=best_val.epoch if best_val else None,
    )


def _values(row: EpochMetrics) -> dict[str, Any]:
    return {name: _null_if_nan(getattr(row, name)) for name in _NAMES}


def _null_if_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def _metrics(row: RowMapping) -> EpochMetrics:
    values = dict(row)
    for name in _NAN_IF_NULL:
        if values[name] is None:
            values[name] = math.nan
    # With an accuracy, examples were held out: then a missing loss was NaN.
    if values["validation_loss"] is None and values["validation_accuracy"] is not None:
        values["validation_loss"] = math.nan
    return checked(EpochMetrics, values)


def _differences(ours: EpochMetrics, theirs: EpochMetrics) -> str:
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in _NAMES if name not in HOW_FAST}
    return "; ".join(f"{name} {new!r}, was {old!r}" for name, (new, old) in pairs.items() if repr(new) != repr(old))
