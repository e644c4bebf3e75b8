"""Rows of epochs, and of layers by epoch, of a lineage: written once. A repeat must be the same result.

NaN is stored as NULL, the only form that SQLite keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, Table, case, func, insert, select

from asapbench.errors import EpochConflictError
from asapbench.metrics import HOW_FAST, Alignment, EpochMetrics, GradientQuality, LayerRow
from asapbench.store.cells import chunks, option_of
from asapbench.store.records import Claim, Reached
from asapbench.store.rows import checked, checked_all
from asapbench.store.schema import alignment, epoch_metrics, gradient_quality, key_of

T = TypeVar("T")

_NAMES = tuple(field.name for field in fields(EpochMetrics))
_NAN_IF_NULL = tuple(f.name for f in fields(EpochMetrics) if f.type == "float" and epoch_metrics.c[f.name].nullable)
_TABLES: dict[type[LayerRow], Table] = {Alignment: alignment, GradientQuality: gradient_quality}
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


def validation_accuracies(connection: Connection, lineages: Sequence[str], *, best: bool) -> dict[str, float]:
    """By lineage the accuracy on held-out examples at its last epoch, or the `best` of all; none where it has none."""
    found: dict[str, float] = {}
    accuracy, of = epoch_metrics.c.validation_accuracy, epoch_metrics.c.lineage
    for part in chunks(lineages):
        rows = select(of, accuracy, epoch_metrics.c.epoch).where(of.in_(part), accuracy.is_not(None))
        for row in connection.execute(rows.order_by(epoch_metrics.c.epoch)):
            found[row.lineage] = max(found.get(row.lineage, 0.0), row.validation_accuracy) if best else row[1]
    return found


def times_to(connection: Connection, lineages: Sequence[str], target: float) -> dict[str, Reached]:
    """By lineage with an accuracy on held-out examples, when this first is `target`, a fraction of 1, or more."""
    found: dict[str, Reached] = {}
    accuracy, of, epoch = (epoch_metrics.c[name] for name in ("validation_accuracy", "lineage", "epoch"))
    for part in chunks(lineages):
        first = func.min(case((accuracy >= target, epoch))).label("first")
        reached = (
            select(of.label("of"), first, func.max(accuracy).label("best"))
            .where(of.in_(part), accuracy.is_not(None))
            .group_by(of)
            .subquery()
        )
        until = select(func.sum(epoch_metrics.c.seconds)).where(of == reached.c.of, epoch <= reached.c.first)
        rows = connection.execute(select(reached.c.of, reached.c.best, reached.c.first, until.scalar_subquery()))
        found |= {one.lineage: one for one in checked_all(Reached, rows.tuples())}
    return found


def angles_of_lineage(connection: Connection, lineage: str, *, only: Sequence[int] = ()) -> list[Alignment]:
    """As `of_lineage`, the angles: by epoch, layers in forward order."""
    return _of_layers(connection, lineage, Alignment, only=only)


def gradient_quality_of_lineage(
    connection: Connection, lineage: str, *, only: Sequence[int] = ()
) -> list[GradientQuality]:
    """As `angles_of_lineage`, the quality of gradients; the whole network comes after its layers."""
    return _of_layers(connection, lineage, GradientQuality, only=only)


def _of_layers(connection: Connection, lineage: str, kind: type[T], *, only: Sequence[int]) -> list[T]:
    table = _TABLES[kind]  # type: ignore[index]
    columns = [table.c[field.name] for field in fields(kind)]  # type: ignore[arg-type]
    query = select(*columns).where(table.c.lineage == lineage).order_by(table.c.epoch, table.c.id)
    if only:
        query = query.where(table.c.epoch.between(min(only), max(only)))
    return [checked(kind, row) for row in connection.execute(query).mappings()]


def add_missing(connection: Connection, claim: Claim, rows: Sequence[EpochMetrics], layers: Sequence[LayerRow]) -> bool:
    """Inserts the rows of epochs and of layers that are not stored yet; returns whether an epoch is new.

    Raises EpochConflictError, and inserts nothing, if one differs from its stored row.
    """
    stored = of_lineage(connection, claim.lineage, only=[row.epoch for row in rows]) if rows else []
    new = _missing(connection, claim, rows, stored, key=lambda row: row.epoch, conflict=_conflict)
    new_of_layers = {kind: _missing_of_layers(connection, claim, layers, kind) for kind in _TABLES}
    owner = {"attempt_id": claim.attempt_id, "lineage": claim.lineage}
    for kind, found in new_of_layers.items():
        if found:
            connection.execute(insert(_TABLES[kind]), [owner | asdict(row) for row in found])
    if new:
        connection.execute(INSERT, values_of(claim, new))
    return bool(new)


def _missing_of_layers(
    connection: Connection, claim: Claim, layers: Sequence[LayerRow], kind: type[LayerRow]
) -> list[LayerRow]:
    given = [row for row in layers if isinstance(row, kind)]
    if not given:
        return []
    known = _of_layers(connection, claim.lineage, kind, only=[row.epoch for row in given])
    names = [name for name in key_of(_TABLES[kind]) if name != "lineage"]
    return _missing(
        connection,
        claim,
        given,
        known,
        key=lambda row: tuple(getattr(row, name) for name in names),
        conflict=_conflict_of_layer,
    )


def _missing(
    connection: Connection,
    claim: Claim,
    rows: Sequence[T],
    stored: Sequence[T],
    *,
    key: Callable[[T], Hashable],
    conflict: Callable[[T, T], str],
) -> list[T]:
    """The `rows` whose key is not among `stored`. Raises EpochConflictError with the text of the first conflict."""
    known = {key(row): row for row in stored}
    new = []
    for row in rows:
        before = known.setdefault(key(row), row)
        if before is row:
            new.append(row)
        elif text := conflict(row, before):
            short = claim.cell_id[:10]
            rerun = f"`asapbench rerun --only cell={short}{option_of(connection)}`"
            raise EpochConflictError(f"cell {short}: {text}; {rerun} trains it again")
    return new


def _conflict(row: EpochMetrics, before: EpochMetrics) -> str:
    pairs = {name: (getattr(row, name), getattr(before, name)) for name in _NAMES if name not in HOW_FAST}
    different = [f"{name} {new!r}, was {old!r}" for name, (new, old) in pairs.items() if repr(new) != repr(old)]
    same = row.same_result(before)
    return "" if same else f"epoch {row.epoch} gave another result than before ({'; '.join(different)})"


def _conflict_of_layer(row: LayerRow, before: LayerRow) -> str:
    pairs = {name: (value, getattr(before, name)) for name, value in asdict(row).items()}
    different = [f"{name} is {new!r}, was {old!r}" for name, (new, old) in pairs.items() if new != old]
    what = row.quantity if isinstance(row, Alignment) else "gradient"
    named = f"{row.layer or 'the whole network'} ({what})"
    return f"after epoch {row.epoch} {named}: {'; '.join(different)}" if different else ""


def values_of(claim: Claim, rows: Sequence[EpochMetrics]) -> list[dict[str, Any]]:
    """The parameters of `INSERT` for `rows`."""
    owner = {"attempt_id": claim.attempt_id, "lineage": claim.lineage}
    return [owner | {name: _null_if_nan(getattr(row, name)) for name in _NAMES} for row in rows]


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
