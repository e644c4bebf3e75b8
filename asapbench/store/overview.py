"""What `status` shows of any number of cells: counts by state, and the attempts that run. A few queries.

Cells that differ in nothing but what has no influence on their time, as in learning rate and seed, are counted as one
kind: a suite of 100,000 cells has some hundred rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Select, String, case, cast, func, literal, select

from asapbench.store.attempts import ALL_COLUMNS, CURRENT, attempt_of
from asapbench.store.cells import CHUNK, IS_KEPT, chunks, readable_cell
from asapbench.store.records import Attempt, State
from asapbench.store.rows import checked_all
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import suite_cell
from asapbench.suite.cell import Cell

_PROBLEMS = ("failed", "out_of_memory", "diverged")


class KindCount(NamedTuple):
    """How many `cells` of one kind are in a state, with `epochs` each and `epochs_done` of all together.

    `example` is the identity of one of them.
    """

    example: str
    state: State | Literal["discarded"]
    epochs: int
    cells: int
    epochs_done: int


@dataclass(frozen=True, slots=True)
class RecordedCell:
    """A cell as it was recorded; `cell` is None if its rule, model or data set is not installed."""

    id: str
    label: str
    cell: Cell | None

    @property
    def is_outdated(self) -> bool:
        """Whether it was recorded under an earlier revision of the code."""
        return self.cell is not None and self.cell.id != self.id


@dataclass(frozen=True, slots=True)
class CurrentAttempt:
    """A cell and its current attempt; `epochs_before` are those that the attempt started with."""

    recorded: RecordedCell
    epochs: int
    epochs_before: int
    attempt: Attempt


def kind_counts(connection: Connection, suites: Sequence[str]) -> list[KindCount]:
    """The cells of these suites, each once, by kind and state."""
    # A label names data set, model, rule and optimizer with their options, and ends with the seed.
    kind = func.substr(cells.c.label, 1, func.length(cells.c.label) - func.length(cast(cells.c.seed, String)))
    current = select(attempts.c.cell_id, attempts.c.state, attempts.c.epochs_done).where(CURRENT).subquery()
    state = case((~IS_KEPT, literal("discarded")), else_=func.coalesce(current.c.state, literal("pending")))
    chosen = (
        select(
            cells.c.id,
            kind.label("kind"),
            cells.c.revision,
            cells.c.batch_size,
            cells.c.epochs,
            state.label("state"),
            func.coalesce(current.c.epochs_done, 0).label("epochs_done"),
        )
        .select_from(cells.outerjoin(current, current.c.cell_id == cells.c.id))
        .where(_in(suites))
        .subquery()
    )
    by = [chosen.c[name] for name in ("kind", "revision", "batch_size", "epochs", "state")]
    query = select(
        func.min(chosen.c.id), chosen.c.state, chosen.c.epochs, func.count(), func.sum(chosen.c.epochs_done)
    ).group_by(*by)
    return checked_all(KindCount, connection.execute(query))


def recorded_cells(connection: Connection, cell_ids: Sequence[str]) -> dict[str, RecordedCell]:
    """These cells by identity, those that are recorded."""
    found = {}
    for part in chunks(list(dict.fromkeys(cell_ids))):
        query = select(cells.c.id, cells.c.label, cells.c.config).where(cells.c.id.in_(part))
        for row in connection.execute(query):
            found[row.id] = RecordedCell(row.id, row.label, readable_cell(row.config))
    return found


def running_attempts(connection: Connection, suites: Sequence[str]) -> list[CurrentAttempt]:
    """The cells of these suites that are marked as running, the oldest first."""
    query = _current(suites).where(attempts.c.state == "running").order_by(attempts.c.started_at, attempts.c.id)
    return _attempts(connection, query)


def problems(connection: Connection, suites: Sequence[str], *, limit: int = CHUNK) -> list[CurrentAttempt]:
    """The cells of these suites that failed or diverged, the newest first, at most `limit`."""
    query = _current(suites).where(CURRENT, attempts.c.state.in_(_PROBLEMS), IS_KEPT)
    return _attempts(connection, query.order_by(attempts.c.ended_at.desc(), attempts.c.id).limit(limit))


def ended_since(connection: Connection, time: str) -> list[Attempt]:
    """The attempts that ended at this time or later, of all suites."""
    query = select(*ALL_COLUMNS).where(attempts.c.ended_at >= time)
    return [attempt_of(row) for row in connection.execute(query)]


def _current(suites: Sequence[str]) -> Select[*tuple[Any, ...]]:
    before = attempts.alias("before")
    started_with = func.coalesce(before.c.epochs_done, 0)
    return (
        select(cells.c.id, cells.c.label, cells.c.config, cells.c.epochs, started_with, *ALL_COLUMNS)
        .select_from(attempts.join(cells, cells.c.id == attempts.c.cell_id))
        .outerjoin(before, before.c.id == attempts.c.resumed_from)
        .where(_in(suites))
    )


def _attempts(connection: Connection, query: Select[*tuple[Any, ...]]) -> list[CurrentAttempt]:
    return [
        CurrentAttempt(RecordedCell(row[0], row[1], readable_cell(row[2])), row[3], row[4], attempt_of(row))
        for row in connection.execute(query)
    ]


def _in(suites: Sequence[str]) -> Any:
    return cells.c.id.in_(select(suite_cell.c.cell_id).where(suite_cell.c.suite.in_(suites)))
