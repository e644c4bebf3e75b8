"""What every cell's current attempt has come to, a short row for each: a whole database in one query.

A group, whose cells differ in the seed alone, is read once: its configuration is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Select, and_, func, select

from asapbench.store import discards
from asapbench.store.attempts import running
from asapbench.store.cells import chunks, readable_cell, representatives, require_suite
from asapbench.store.records import FINAL, State
from asapbench.store.rows import checked_all
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import epoch_metrics, suite_cell
from asapbench.suite.cell import Cell

ListedState = State | Literal["outdated", "discarded"]
"""`outdated`: done or diverged under an earlier revision of the code."""


class Listed(NamedTuple):
    """A cell and the state of its current attempt, which a dead run may have left running: then it is interrupted.

    `first` is a cell of its group, the same except in its seed; None if its rule, model or data set is not installed.
    `test_accuracy`, a fraction of 1, is that of the last epoch, known when the attempt has ended. `since` is when it
    ended, or started if it runs.
    """

    cell_id: str
    first: Cell | None
    seed: int
    state: ListedState
    epochs_done: int
    test_accuracy: float | None
    since: str | None
    lineage: str | None

    @property
    def short(self) -> str:
        """The first 10 digits of the identity."""
        return self.cell_id[:10]

    @property
    def cell(self) -> Cell | None:
        """The cell, None if it cannot be read."""
        return None if self.first is None else self.first.with_seed(self.seed).stored_as(self.cell_id)


class Trained(NamedTuple):
    """Of a lineage: the accuracies at its last epoch, fractions of 1, and the seconds of training of all epochs.

    The seconds are those of the epochs, without evaluation.
    """

    lineage: str
    test_accuracy: float | None
    validation_accuracy: float | None
    seconds: float


class _Row(NamedTuple):
    """A cell and an attempt that is not superseded, the last one by `number` is current. Without one, that is None."""

    id: str
    group_id: str
    seed: int
    state: State | None
    epochs_done: int | None
    last_test_accuracy: float | None
    since: str | None
    lineage: str | None
    number: int | None


def listed(connection: Connection, suites: Sequence[str] = ()) -> list[Listed]:
    """The cells of these suites, in their order, or of the whole database; discarded ones too.

    Raises StoreError for an unknown suite.
    """
    rows: dict[str, _Row] = {}
    for name in suites:
        require_suite(connection, name)
        query = _rows().join(suite_cell, suite_cell.c.cell_id == cells.c.id).where(suite_cell.c.suite == name)
        rows |= {row.id: row for row in _read(connection, query.order_by(suite_cell.c.position, attempts.c.number))}
    first = representatives(connection)
    if not suites:
        order = {group: place for place, group in enumerate(first)}
        found = sorted(_read(connection, _rows()), key=lambda row: (order[row.group_id], row.seed, row.id, row.number))
        rows = {row.id: row for row in found}
    outdated = {group for group, (cell_id, cell) in first.items() if cell is not None and cell.id != cell_id}
    discarded = discards.current(connection)
    dead = {attempt.cell_id for attempt in running(connection) if attempt.owner.is_dead()}

    def state(row: _Row) -> ListedState:
        if row.id in discarded:
            return "discarded"
        if row.state in FINAL and row.group_id in outdated:
            return "outdated"
        return "interrupted" if row.id in dead else row.state or "pending"

    return [
        Listed(
            row.id,
            first[row.group_id][1],
            row.seed,
            state(row),
            row.epochs_done or 0,
            row.last_test_accuracy,
            row.since,
            row.lineage,
        )
        for row in rows.values()
    ]


def discarded_cells(connection: Connection, *, suite: str | None = None) -> list[Cell]:
    """The discarded cells that can be read, of a suite or of all."""
    found: list[Cell] = []
    for part in chunks(list(discards.current(connection, suite=suite))):
        rows = connection.execute(select(cells.c.id, cells.c.config).where(cells.c.id.in_(part)))
        found += [cell for row in rows if (cell := readable_cell(row.config, row.id)) is not None]
    return found


def trained(connection: Connection, lineages: Sequence[str]) -> dict[str, Trained]:
    """What these lineages have come to, those that have an epoch."""
    found: dict[str, Trained] = {}
    for part in chunks(lineages):
        newest, seconds = func.max(epoch_metrics.c.epoch).label("newest"), func.sum(epoch_metrics.c.seconds)
        summed = (
            select(epoch_metrics.c.lineage, newest, seconds.label("seconds"))
            .where(epoch_metrics.c.lineage.in_(part))
            .group_by(epoch_metrics.c.lineage)
            .subquery()
        )
        last = and_(epoch_metrics.c.lineage == summed.c.lineage, epoch_metrics.c.epoch == summed.c.newest)
        columns = [epoch_metrics.c[name] for name in ("lineage", "test_accuracy", "validation_accuracy")]
        query = select(*columns, summed.c.seconds).join(summed, last)
        found |= {row.lineage: row for row in checked_all(Trained, connection.execute(query))}
    return found


def _rows() -> Select[*tuple[Any, ...]]:
    columns = [cells.c[name] for name in ("id", "group_id", "seed")]
    columns += [attempts.c[name] for name in ("state", "epochs_done", "last_test_accuracy")]
    since = func.coalesce(attempts.c.ended_at, attempts.c.started_at)
    joined = cells.outerjoin(attempts, and_(attempts.c.cell_id == cells.c.id, attempts.c.superseded.is_(False)))
    return select(*columns, since.label("since"), attempts.c.lineage, attempts.c.number).select_from(joined)


def _read(connection: Connection, query: Select[*tuple[Any, ...]]) -> list[_Row]:
    return checked_all(_Row, connection.execute(query))
