"""Reads the rows of attempts: which attempt of a cell is current, and what it measured."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, insert, select

from asapbench.errors import StoreError
from asapbench.store.cells import (
    BRIEF,
    IS_KEPT,
    ORDER,
    chunks,
    may_be_of,
    name_of,
    ordered_cells,
    read_cells,
    read_config,
    readable_cell,
    representatives,
    require_suite,
)
from asapbench.store.records import FINAL, Attempt, Outcome, Progress, Provenance, Result, SuiteOutcomes
from asapbench.store.rows import checked, checked_all, from_json, number, untrusted
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import epoch_metrics, suite_cell
from asapbench.store.schema import provenance as provenances
from asapbench.suite.cell import CHOICES, Cell

_NAMES = [field.name for field in fields(Attempt)]
ALL_COLUMNS = [attempts.c[name] for name in _NAMES]
_newer = attempts.alias("newer")

CURRENT: ColumnElement[bool] = and_(
    attempts.c.superseded.is_(False),
    ~exists().where(
        _newer.c.cell_id == attempts.c.cell_id,
        _newer.c.superseded.is_(False),
        _newer.c.number > attempts.c.number,
    ),
)
"""The newest attempt of its cell that is not superseded."""

_OWN_EPOCHS = and_(epoch_metrics.c.lineage == attempts.c.lineage, epoch_metrics.c.attempt_id == attempts.c.id)
"""The epochs that an attempt itself has trained; the lineage is in the index."""

TIMED_EPOCHS = 20
"""Epochs at the end of an attempt over which its median time is taken: past the warm-up, and quick to read."""

TIMED_ATTEMPTS = 1_000
"""Attempts that are timed at most."""

_ALL = select(*ALL_COLUMNS)
"""Built once: building it costs more than SQLite takes for a row."""


def attempt_of(row: Row[*tuple[Any, ...]]) -> Attempt:
    """The attempt of a row whose last columns are `ALL_COLUMNS`."""
    return checked(Attempt, dict(zip(_NAMES, row[-len(_NAMES) :], strict=True)))


def current(connection: Connection, cell_id: str) -> Attempt | None:
    """The current attempt of one cell, None while it is pending."""
    row = connection.execute(_ALL.where(attempts.c.cell_id == cell_id, CURRENT)).one_or_none()
    return None if row is None else attempt_of(row)


def states(connection: Connection, cell_ids: Sequence[str]) -> dict[str, Attempt | None]:
    """For each cell its current attempt, the newest that is not superseded; None: pending."""
    found: dict[str, Attempt | None] = dict.fromkeys(cell_ids)
    for part in chunks(cell_ids):
        query = _ALL.where(attempts.c.cell_id.in_(part), CURRENT)
        for row in connection.execute(query):
            attempt = attempt_of(row)
            found[attempt.cell_id] = attempt
    return found


def of_cell(connection: Connection, cell_id: str) -> list[Attempt]:
    """Every attempt of a cell, oldest first, superseded ones too."""
    query = _ALL.where(attempts.c.cell_id == cell_id).order_by(attempts.c.number)
    return [attempt_of(row) for row in connection.execute(query)]


def running(connection: Connection) -> list[Attempt]:
    """Every running attempt of every process, oldest first."""
    query = _ALL.where(attempts.c.state == "running").order_by(attempts.c.started_at, attempts.c.id)
    return [attempt_of(row) for row in connection.execute(query)]


def lineage_ids(connection: Connection, lineage: str) -> list[str]:
    """The attempts of a lineage, newest first."""
    query = select(attempts.c.id).where(attempts.c.lineage == lineage).order_by(attempts.c.number.desc())
    return list(connection.scalars(query))


def provenances_of(connection: Connection, lineages: Sequence[str]) -> dict[str, list[Provenance]]:
    """For each lineage what its attempts ran on, without repetition, the oldest attempt first.

    A damaged database may have no attempt of a lineage.
    """
    ran = _ran_on(connection, lineages)
    known = {one: provenance(connection, one) for one in {one for ids in ran.values() for _, one in ids}}
    return {lineage: [known[one] for one in dict.fromkeys(one for _, one in ids)] for lineage, ids in ran.items()}


def devices_of(connection: Connection, lineages: Sequence[str]) -> dict[str, list[tuple[str, Provenance]]]:
    """As `provenances_of`, each with the device."""
    ran = _ran_on(connection, lineages)
    known = {one: provenance(connection, one) for one in {one for ids in ran.values() for _, one in ids}}
    return {lineage: [(device, known[one]) for device, one in ids] for lineage, ids in ran.items()}


def _ran_on(connection: Connection, lineages: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """By lineage the different pairs of device and provenance of its attempts, the oldest attempt first."""
    found: dict[str, dict[tuple[str, str], None]] = {lineage: {} for lineage in lineages}
    columns = attempts.c.lineage, attempts.c.device, attempts.c.provenance_id
    for part in chunks(lineages):
        query = select(*columns).where(attempts.c.lineage.in_(part)).order_by(attempts.c.number)
        for lineage, device, ran in connection.execute(query):
            found[lineage][device, ran] = None
    return {lineage: list(pairs) for lineage, pairs in found.items()}


def has_plugins(connection: Connection) -> bool:
    """Whether any attempt of the database ran with an entry of a plug-in."""
    kinds = tuple(f"{kind} " for kind in CHOICES)
    versions = (from_json("versions", text) for text in connection.scalars(select(provenances.c.versions)))
    return any(key.startswith(kinds) for each in versions if isinstance(each, dict) for key in each)


def record_provenance(connection: Connection, provenance: Provenance) -> str:
    """The id of `provenance`, the digest of its content. Records it if it is new."""
    digest = content_id(provenance)
    if connection.scalar(select(provenances.c.id).where(provenances.c.id == digest)) is None:
        row = {
            "id": digest,
            "commit": provenance.commit,
            "dirty": provenance.dirty,
            "versions": json.dumps(provenance.versions, sort_keys=True),
            "hardware": json.dumps(provenance.hardware, sort_keys=True),
        }
        connection.execute(insert(provenances), [row])
    return digest


def content_id(provenance: Provenance) -> str:
    """The digest that names `provenance` in every database."""
    content = json.dumps(asdict(provenance), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def provenance(connection: Connection, provenance_id: str) -> Provenance:
    """What an attempt ran on. Raises StoreError for an unknown id."""
    row = connection.execute(select(provenances).where(provenances.c.id == provenance_id)).mappings().one_or_none()
    if row is None:
        raise StoreError(f"{name_of(connection)} has no provenance {provenance_id}")
    unpacked = {name: from_json(name, row[name]) for name in ("versions", "hardware")}
    return checked(Provenance, {"commit": row["commit"], "dirty": row["dirty"], **unpacked})


def ended_cells(connection: Connection) -> set[str]:
    """The ids of the cells that have a result, readable or not."""
    return set(connection.scalars(select(attempts.c.cell_id).where(CURRENT, attempts.c.state.in_(FINAL))))


def results(connection: Connection, *, suite: str | None = None) -> list[Result]:
    """The current attempt of each readable cell that has one, in any state: of a suite in its order, or of all.

    Discarded cells are left out. Raises StoreError for an unknown suite.
    """
    query = _with_config().where(IS_KEPT)
    if suite is None:
        query = query.order_by(*ORDER)
    else:
        require_suite(connection, suite)
        query = query.join(suite_cell, suite_cell.c.cell_id == cells.c.id).where(suite_cell.c.suite == suite)
        query = query.order_by(suite_cell.c.position)
    readable = ((row, readable_cell(row.config, row.cell)) for row in connection.execute(query))
    return [Result(cell, attempt_of(row)) for row, cell in readable if cell is not None]


def outcomes(connection: Connection) -> list[Outcome]:
    """As `results` of the whole database, with what reports need of each attempt: much quicker."""
    rank = {group: place for place, group in enumerate(representatives(connection))}
    rows = connection.execute(select(*BRIEF).where(IS_KEPT)).all()
    rows = sorted(rows, key=lambda row: (rank[row[1]], row[2], row[0]))
    readable, found = read_cells(connection, rows), progress(connection)
    return [Outcome(cell, found[cell_id]) for cell_id, cell in readable if cell is not None and cell_id in found]


def suite_outcomes(connection: Connection, suite: str) -> SuiteOutcomes:
    """The cells of a suite, without discarded ones, and their outcomes. Raises StoreError for an unknown suite."""
    readable, unreadable = ordered_cells(connection, suite)
    found = progress(connection, suite=suite)
    held = [Outcome(cell, found[cell_id]) for cell_id, cell in readable.items() if cell_id in found]
    return SuiteOutcomes(list(readable.values()), held, unreadable)


def progress(connection: Connection, *, suite: str | None = None) -> dict[str, Progress]:
    """By cell what its current attempt has come to, of every cell that has one, readable or not, discarded or not.

    With `suite`, at least of the cells of this suite.
    """
    query = select(attempts.c.number, *(attempts.c[name] for name in Progress._fields))
    query = query.where(attempts.c.superseded.is_(False))
    if suite is not None:
        query = query.where(may_be_of(connection, suite, attempts.c.cell_id))
    # The newest attempt is `CURRENT`; to find it here takes half the time, as most cells have one attempt.
    rows = sorted(connection.execute(query).all(), key=itemgetter(0))
    return {one.cell_id: one for one in checked_all(Progress, (row[1:] for row in rows))}


def results_of(connection: Connection, cell_ids: Sequence[str]) -> list[Result]:
    """The current attempts of these cells, in the order given. Raises SuiteError for an unreadable cell."""
    found: dict[str, Result] = {}
    for part in chunks(cell_ids):
        query = _with_config().where(cells.c.id.in_(part))
        found |= {
            row.cell: Result(read_config(row.config).stored_as(row.cell), attempt_of(row))
            for row in connection.execute(query)
        }
    return [found[cell_id] for cell_id in dict.fromkeys(cell_ids) if cell_id in found]


def unreadable_cells(connection: Connection) -> list[str]:
    """Cells with attempts that this version cannot read: their rule, model or data set is not installed."""
    rows = connection.execute(_with_config().where(IS_KEPT).order_by(*ORDER))
    return [row.cell for row in rows if readable_cell(row.config) is None]


def _with_config() -> Select[*tuple[object, ...]]:
    joined = attempts.join(cells, cells.c.id == attempts.c.cell_id)
    return select(cells.c.id.label("cell"), cells.c.config, *ALL_COLUMNS).select_from(joined).where(CURRENT)


@dataclass(frozen=True)
class Timing:
    """How long an epoch of `config` takes on `device`, whose `hardware` is a GPU or a processor, None if unknown.

    `seconds` is the median of its training. `wall`, known of an attempt that is done, is the time from its start to
    its end over its epochs, with evaluation and checkpoints.
    """

    config: Cell
    device: str
    seconds: float
    hardware: str | None = None
    wall: float | None = None


def timings(connection: Connection) -> list[Timing]:
    """For each configuration (without the seed), device and provenance the newest timed attempt, the oldest first.

    Of `TIMED_ATTEMPTS` attempts, the newest ones: the times of others follow from theirs.
    """
    newest: dict[tuple[str, str, str], Any] = {}
    for row in connection.execute(_timed_attempts()):
        newest.setdefault((row.group_id, row.device, row.provenance_id), row)
    attempts_of = {row.id: row for row in newest.values()}
    seconds: dict[str, list[float]] = {}
    for part in chunks(list(attempts_of)):
        for row in connection.execute(_newest_epochs(part)):
            seconds.setdefault(row.attempt_id, []).append(number("seconds", row.seconds))
    found = []
    for row in reversed(attempts_of.values()):
        if row.id in seconds and (cell := readable_cell(row.config)) is not None:
            values = {"config": cell, "device": row.device, "seconds": statistics.median(seconds[row.id])}
            found.append(
                checked(Timing, values | {"hardware": _hardware(row.device, row.hardware), "wall": _wall(row)})
            )
    return found


def _hardware(device: str, stored: str) -> str | None:
    """The GPU's or the processor's name in a column of provenance."""
    content = from_json("hardware", stored)
    if not isinstance(content, dict):
        return None
    gpus = content.get("gpus")
    name = (
        content.get("processor") if device.startswith("cpu") else gpus[0] if isinstance(gpus, list) and gpus else None
    )
    return name if isinstance(name, str) else None


def _wall(row: Row[Any]) -> float | None:
    """Seconds of an epoch, by the start and end of an attempt that is done."""
    own = row.epochs_done - (row.before or 0)
    if row.state != "done" or row.ended_at is None or own < 1:
        return None
    try:
        passed = datetime.fromisoformat(row.ended_at) - datetime.fromisoformat(row.started_at)
    except (TypeError, ValueError) as error:
        raise untrusted("ended_at", str(error)) from error
    return passed.total_seconds() / own if passed.total_seconds() > 0 else None


def peaks(connection: Connection, kind: str) -> dict[str, int]:
    """The largest peak memory, in bytes, of an epoch of each group on devices of this kind."""
    query = (
        select(cells.c.group_id, func.max(epoch_metrics.c.peak_memory_bytes))
        .join(attempts, attempts.c.cell_id == cells.c.id)
        .join(epoch_metrics, _OWN_EPOCHS)
        .where(attempts.c.device.startswith(kind), epoch_metrics.c.peak_memory_bytes.is_not(None))
        .group_by(cells.c.group_id)
    )
    return {row[0]: int(number("peak_memory_bytes", row[1])) for row in connection.execute(query)}


def _timed_attempts() -> Select[*tuple[Any, ...]]:
    """The newest attempts that have trained epochs, superseded ones too, the newest first."""
    before = attempts.alias("before")
    columns = [
        attempts.c[n] for n in ("id", "device", "state", "started_at", "ended_at", "epochs_done", "provenance_id")
    ]
    return (
        select(cells.c.group_id, cells.c.config, *columns, provenances.c.hardware, before.c.epochs_done.label("before"))
        .join(attempts, attempts.c.cell_id == cells.c.id)
        .join(provenances, provenances.c.id == attempts.c.provenance_id)
        .outerjoin(before, before.c.id == attempts.c.resumed_from)
        .where(attempts.c.epochs_done > func.coalesce(before.c.epochs_done, 0))
        .order_by(attempts.c.started_at.desc(), attempts.c.id)
        .limit(TIMED_ATTEMPTS)
    )


def _newest_epochs(attempt_ids: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """The seconds of the last `TIMED_EPOCHS` epochs that each of these attempts has trained itself."""
    return (
        select(epoch_metrics.c.attempt_id, epoch_metrics.c.seconds)
        .select_from(attempts)
        .join(epoch_metrics, and_(_OWN_EPOCHS, epoch_metrics.c.epoch > attempts.c.epochs_done - TIMED_EPOCHS))
        .where(attempts.c.id.in_(attempt_ids))
    )
