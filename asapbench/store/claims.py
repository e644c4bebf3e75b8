"""Claims: the right to write for one running attempt, and every write that needs it.

An attempt id and its lease number guard each write. They are checked in the transaction that writes, and writers stand
in line: a holder that was taken over changes nothing, whenever it wakes.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, Update, and_, func, insert, literal, select, update

from asapbench.errors import AttemptLostError, StoreError
from asapbench.store import alignment, epochs
from asapbench.store import attempts as reading
from asapbench.store.cells import chunks, insert_missing, now
from asapbench.store.holder import Holder
from asapbench.store.records import FINAL, Attempt, Claim, EndState, Measured, Provenance
from asapbench.store.schema import attempt as attempts
from asapbench.suite.cell import Cell


def claim(
    connection: Connection, cell: Cell, *, holder: Holder, provenance: Provenance, device: str, anew: bool
) -> Claim | None:
    """A new running attempt, or None where the cell is running or has its result.

    It goes on in the lineage of the current attempt, or (`anew`, or nothing to go on with) begins one.
    """
    insert_missing(connection, [cell])
    before = reading.current(connection, cell.id)
    if before is not None and (before.state == "running" or before.state in FINAL):
        return None
    if anew:
        before = None
    attempt_id = uuid.uuid4().hex
    made = Claim(
        attempt_id=attempt_id,
        cell_id=cell.id,
        lineage=before.lineage if before else attempt_id,
        number=_next_number(connection, cell.id),
        resumed_from=before.id if before else None,
        previous=reading.lineage_ids(connection, before.lineage) if before else [],
        lease=1,
    )
    row = {
        "id": made.attempt_id,
        "cell_id": made.cell_id,
        "number": made.number,
        "lineage": made.lineage,
        "resumed_from": made.resumed_from,
        "state": "running",
        "superseded": False,
        "lease": made.lease,
        **asdict(holder),
        "device": device,
        "provenance_id": reading.record_provenance(connection, provenance),
        # What an earlier attempt could not repeat exactly, no later one of the lineage can.
        "bit_exact": before.bit_exact if before else True,
        "started_at": now(),
        "epochs_done": epochs.newest(connection, made.lineage),
    }
    connection.execute(insert(attempts), [row])
    return made


def _next_number(connection: Connection, cell_id: str) -> int:
    query = select(func.max(attempts.c.number)).where(attempts.c.cell_id == cell_id)
    return (connection.scalar(query) or 0) + 1


def _mine(attempt_id: str, lease: int) -> Update:
    return update(attempts).where(attempts.c.id == attempt_id, attempts.c.state == "running", attempts.c.lease == lease)


def advance(connection: Connection, claim: Claim) -> bool:
    """Advances the lease in the database; False where it is not the claim's any more. The claim stays as it is."""
    changed = connection.execute(_mine(claim.attempt_id, claim.lease).values(lease=claim.lease + 1))
    return changed.rowcount == 1


def take_over(connection: Connection, attempt: Attempt) -> bool:
    """Marks a running attempt as interrupted, unless its lease has moved since it was read."""
    dead = "has died" if attempt.holder.is_dead() else "stood still"
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
            "this run, which wrote nothing; `asapbench status` shows who has it"
        )


def record(connection: Connection, measured: Measured) -> None:
    """Adds those epochs and angles that are missing. Checks everything before it writes anything.

    Raises AttemptLostError, and StoreError for one that differs from the one stored.
    """
    claim = measured.claim
    require(connection, claim)
    new = epochs.missing(connection, claim, measured.epochs)
    angles = alignment.missing(connection, claim, measured.alignment)
    alignment.add(connection, claim, angles)
    if new:
        epochs.add(connection, claim, new)
        done = epochs.newest(connection, claim.lineage)
        connection.execute(_mine(claim.attempt_id, claim.lease).values(epochs_done=done))


def finish(
    connection: Connection,
    claim: Claim,
    state: EndState,
    *,
    error: str | None,
    log_tail: str | None,
    bit_exact: bool,
    weights_path: str | None,
    weights_digest: str | None,
) -> None:
    """Ends the attempt, with the accuracies of its lineage. Raises AttemptLostError."""
    require(connection, claim)
    rows = epochs.of_lineage(connection, claim.lineage)
    values = {
        "state": state,
        "ended_at": now(),
        "epochs_done": rows[-1].epoch if rows else 0,
        "error": error,
        "log_tail": log_tail,
        "bit_exact": and_(attempts.c.bit_exact, literal(bit_exact)),
        "weights_path": weights_path,
        "weights_digest": weights_digest,
        **asdict(epochs.summary(rows)),
    }
    connection.execute(_mine(claim.attempt_id, claim.lease).values(**values))


def supersede(connection: Connection, cell_ids: Sequence[str]) -> int:
    """Marks every attempt of these cells as superseded. Raises StoreError, and marks none, while one is running."""
    parts = list(chunks(cell_ids))
    for part in parts:
        query = select(attempts.c.cell_id).where(attempts.c.cell_id.in_(part), attempts.c.state == "running")
        busy = connection.scalars(query).first()
        if busy is not None:
            raise StoreError(f"cell {busy[:10]} is running: stop its run, or wait for it, and try again")
    marked = 0
    for part in parts:
        change = update(attempts).where(attempts.c.cell_id.in_(part), attempts.c.superseded.is_(False))
        marked += connection.execute(change.values(superseded=True)).rowcount
    return marked
