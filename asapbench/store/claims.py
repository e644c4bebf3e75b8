"""Claims: the right to write for one running attempt, and every write that needs it.

An attempt id and its lease number guard each write. They are checked in the transaction that writes, and writers take
turns: a process whose attempt was taken over changes nothing, whenever it wakes.

Each function may be called again if it is unknown whether its transaction was committed. It finds its own traces by
values that the caller fixed before (the attempt's id, the time of its end), and writes nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from sqlalchemy import BindParameter, Connection, Update, and_, bindparam, func, insert, literal, select, update

from asapbench.errors import AttemptLostError, StoreError
from asapbench.metrics import EpochMetrics
from asapbench.store import attempts as reading
from asapbench.store import discards, epochs
from asapbench.store.cells import chunks, insert_missing, now, option_of
from asapbench.store.owner_process import OwnerProcess
from asapbench.store.records import FINAL, Attempt, Claim, EndState, Measured, Provenance
from asapbench.store.rows import storable
from asapbench.store.schema import attempt as attempts
from asapbench.suite.cell import Cell


def claim(
    connection: Connection,
    cell: Cell,
    *,
    owner: OwnerProcess,
    provenance: Provenance,
    device: str,
    from_scratch: bool = False,
    lineage: str | None = None,
    attempt_id: str = "",
) -> Claim | None:
    """The right to train `cell`, as the new running attempt `attempt_id`; None if it is running, done, diverged or
    discarded.

    A cell that was interrupted, failed or ran out of memory continues `lineage`, by default that of its current
    attempt. With `from_scratch`, or if nothing can be resumed (all attempts superseded), it starts a new lineage.
    """
    insert_missing(connection, [cell])
    before = reading.current(connection, cell.id)
    if before is not None and before.id == attempt_id:  # recorded by a call whose answer was lost
        return _claim(connection, asdict(before))
    if before is not None and (before.state == "running" or before.state in FINAL):
        return None
    if discards.current(connection, cell_ids=[cell.id]):
        return None
    if lineage is not None:
        before = _newest(connection, cell.id, lineage)
    row = {
        "id": attempt_id,
        "cell_id": cell.id,
        **_inherited(connection, None if from_scratch else before, cell, provenance, attempt_id=attempt_id),
        "number": _next_number(connection, cell.id),
        "state": "running",
        "superseded": False,
        "lease": 1,
        **asdict(owner),
        "device": device,
        "provenance_id": reading.record_provenance(connection, provenance),
        "started_at": now(),
    }
    connection.execute(insert(attempts), [row])
    return _claim(connection, row)


def _newest(connection: Connection, cell_id: str, lineage: str) -> Attempt | None:
    """The newest attempt of a lineage that is not superseded, or None."""
    own = [attempt for attempt in reading.of_cell(connection, cell_id) if attempt.lineage == lineage]
    return next((attempt for attempt in reversed(own) if not attempt.superseded), None)


def _inherited(
    connection: Connection, before: Attempt | None, cell: Cell, provenance: Provenance, *, attempt_id: str
) -> dict[str, Any]:
    """What an attempt inherits from the one that it resumes, if any."""
    if before is None:
        return {"lineage": attempt_id, "resumed_from": None, "bit_exact": True, "epochs_done": 0}
    earlier = reading.provenance(connection, before.provenance_id)
    return {
        "lineage": before.lineage,
        "resumed_from": before.id,
        # A lineage that contains one inexact attempt, or two versions of a plug-in, is inexact from there.
        "bit_exact": before.bit_exact and cell.plugins_in(earlier.versions) == cell.plugins_in(provenance.versions),
        "epochs_done": epochs.newest(connection, before.lineage),
    }


def _claim(connection: Connection, row: Mapping[str, Any]) -> Claim:
    """The claim to the attempt of `row`; an attempt that resumes nothing is alone in its lineage."""
    lineage = [] if row["resumed_from"] is None else reading.lineage_ids(connection, row["lineage"])
    return Claim(
        attempt_id=row["id"],
        cell_id=row["cell_id"],
        lineage=row["lineage"],
        number=row["number"],
        resumed_from=row["resumed_from"],
        previous=[other for other in lineage if other != row["id"]],
        lease=row["lease"],
    )


def _next_number(connection: Connection, cell_id: str) -> int:
    query = select(func.max(attempts.c.number)).where(attempts.c.cell_id == cell_id)
    return (connection.scalar(query) or 0) + 1


def _mine(attempt_id: str | BindParameter[str], lease: int | BindParameter[int]) -> Update:
    return update(attempts).where(attempts.c.id == attempt_id, attempts.c.state == "running", attempts.c.lease == lease)


_ADVANCE_PAST = (
    _mine(bindparam("mine"), bindparam("held"))
    .where(attempts.c.epochs_done < bindparam("first"))
    .values(epochs_done=bindparam("last"))
)
"""Counts epochs as done if the claim is current and they all follow the lineage's last one. Built once."""


_ADVANCE_LEASE = (
    update(attempts)
    .where(
        attempts.c.id == bindparam("mine"),
        attempts.c.state == "running",
        # Only the owner advances a lease: one that is a step ahead was advanced by a call whose answer was lost.
        attempts.c.lease.in_([bindparam("held"), bindparam("ahead")]),
    )
    .values(lease=bindparam("ahead"))
)


def advance(connection: Connection, held: Sequence[Claim]) -> list[Claim]:
    """Advances the leases in the database and returns the current claims; the claim objects stay unchanged."""
    given = [{"mine": claim.attempt_id, "held": claim.lease, "ahead": claim.lease + 1} for claim in held]
    if given:
        connection.execute(_ADVANCE_LEASE, given)
    leases: dict[str, int] = {}
    for part in chunks([claim.attempt_id for claim in held]):
        query = select(attempts.c.id, attempts.c.lease).where(attempts.c.id.in_(part), attempts.c.state == "running")
        leases |= {row.id: row.lease for row in connection.execute(query)}
    return [claim for claim in held if leases.get(claim.attempt_id) == claim.lease + 1]


def take_over(connection: Connection, attempt: Attempt) -> bool:
    """Marks a running attempt as interrupted, unless its lease has moved since it was read."""
    dead = "has died" if attempt.owner.is_dead() else "did not advance its lease"
    error = f"its run (pid {attempt.pid} on {attempt.host}) {dead}; another run took the cell over"
    change = _mine(attempt.id, attempt.lease).values(state="interrupted", ended_at=now(), error=error)
    changed = connection.execute(change)
    return changed.rowcount == 1


def require(connection: Connection, claim: Claim) -> None:
    """Raises AttemptLostError unless the claim is current."""
    query = select(attempts.c.state, attempts.c.lease).where(attempts.c.id == claim.attempt_id)
    row = connection.execute(query).one_or_none()
    if row is None or row.state != "running" or row.lease != claim.lease:
        is_now = "gone" if row is None else row.state if row.state != "running" else f"at lease {row.lease}"
        raise AttemptLostError(
            f"cell {claim.cell_id[:10]}: attempt {claim.number} is {is_now} and no longer at lease {claim.lease} of "
            f"this run, which wrote nothing; `asapbench status{option_of(connection)}` shows which run has it"
        )


def record(connection: Connection, measured: Measured) -> None:
    """Adds the epochs and rows of layers that are missing. Checks everything before it writes anything.

    Raises AttemptLostError, and StoreError for a row that differs from the stored one.
    """
    claim = measured.claim
    require(connection, claim)
    if epochs.add_missing(connection, claim, measured.epochs, measured.layers):
        done = epochs.newest(connection, claim.lineage)
        connection.execute(_mine(claim.attempt_id, claim.lease).values(epochs_done=done))


def _given_to_advance(claim: Claim, rows: Sequence[EpochMetrics]) -> dict[str, Any] | None:
    """The parameters of `_ADVANCE_PAST` for `rows`; None if there are no rows, or they are not in order."""
    numbers = [row.epoch for row in rows]
    if not numbers or any(later <= earlier for earlier, later in pairwise(numbers)):
        return None
    return {"mine": claim.attempt_id, "held": claim.lease, "first": numbers[0], "last": numbers[-1]}


def record_many(connection: Connection, measured: Sequence[Measured]) -> list[StoreError]:
    """Adds the missing epochs and rows of layers of each claim; repeating it is harmless.

    A refused claim does not affect the others: its error is in the result.
    """
    with connection.begin_nested() as all_at_once:
        if _all_advanced_past(connection, measured):
            return []
        all_at_once.rollback()
    refused: list[StoreError] = []
    for item in measured:
        try:
            record(connection, item)
        except StoreError as error:
            refused.append(error)
    return refused


def _all_advanced_past(connection: Connection, measured: Sequence[Measured]) -> bool:
    """The usual case of many claims in two statements. False if one claim is another case."""
    usual = [_given_to_advance(item.claim, item.epochs) for item in measured if not item.layers]
    given = [values for values in usual if values is not None]
    if not given or len(given) != len(measured):
        return False
    if connection.execute(_ADVANCE_PAST, given).rowcount != len(given):
        return False
    connection.execute(epochs.INSERT, [row for item in measured for row in epochs.values_of(item.claim, item.epochs)])
    return True


def finish(
    connection: Connection,
    claim: Claim,
    state: EndState,
    *,
    error: str | None = None,
    log_tail: str | None = None,
    bit_exact: bool = True,
    weights_path: str | None = None,
    weights_digest: str | None = None,
    ended_at: str = "",
) -> None:
    """Ends the attempt and computes its accuracies from the epochs of the lineage. Raises AttemptLostError.

    An attempt that resumes one that was not bit-exact is not bit-exact either, whatever `bit_exact` is.
    """
    if _has_ended(connection, claim, state, ended_at=ended_at):
        return
    require(connection, claim)
    rows = epochs.of_lineage(connection, claim.lineage)
    values = {
        "state": state,
        "ended_at": ended_at,
        "epochs_done": rows[-1].epoch if rows else 0,
        "error": storable(error),
        "log_tail": storable(log_tail),
        "bit_exact": and_(attempts.c.bit_exact, literal(bit_exact)),
        "weights_path": weights_path,
        "weights_digest": weights_digest,
        **asdict(epochs.summary(rows)),
    }
    connection.execute(_mine(claim.attempt_id, claim.lease).values(**values))


def _has_ended(connection: Connection, claim: Claim, state: EndState, *, ended_at: str) -> bool:
    """Whether exactly this end is already recorded."""
    query = select(attempts.c.state, attempts.c.lease, attempts.c.ended_at).where(attempts.c.id == claim.attempt_id)
    row = connection.execute(query).one_or_none()
    return row is not None and tuple(row) == (state, claim.lease, ended_at)


def supersede(connection: Connection, cell_ids: Sequence[str], *, decided_at: str = "") -> int:
    """Marks every attempt of these cells as superseded, and decides that what they train from now on counts.

    Raises StoreError, and marks none, if one is running.
    """
    parts = list(chunks(cell_ids))
    for part in parts:
        query = select(attempts.c.cell_id).where(attempts.c.cell_id.in_(part), attempts.c.state == "running")
        busy = connection.scalars(query).first()
        if busy is not None:
            raise StoreError(f"cell {busy[:10]} is running: stop its run or wait for it, and retry")
    marked = 0
    for part in parts:
        change = update(attempts).where(attempts.c.cell_id.in_(part), attempts.c.superseded.is_(False))
        marked += connection.execute(change.values(superseded=True)).rowcount
    discards.train_again(connection, cell_ids, decided_at=decided_at)
    return marked
