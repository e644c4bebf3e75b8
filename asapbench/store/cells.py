"""Rows of cells and suites: recorded once, found by name or by the first digits of an identity."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from asapbench.errors import StoreError, SuiteError
from asapbench.store import views
from asapbench.store.records import SuiteRecord
from asapbench.store.rows import RESTORE_IT, checked, from_json, untrusted
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import discard, suite_cell
from asapbench.store.schema import suite as suites
from asapbench.suite.cell import Cell, without_places
from asapbench.suite.options import Choice, nearest, there_are

CHUNK = 2_000
"""Values in one IN list: far from the limits of SQLite (32,766) and PostgreSQL (65,535)."""

ORDER = tuple(cells.c[name] for name in ("dataset", "model", "rule", "lr", "group_id", "seed", "id"))
"""How cells are listed where no suite orders them."""

_later = discard.alias("later")

IS_LATEST = ~exists().where(
    _later.c.cell_id == discard.c.cell_id,
    or_(
        _later.c.decided_at > discard.c.decided_at,
        and_(_later.c.decided_at == discard.c.decided_at, _later.c.id > discard.c.id),
    ),
)
"""The last decision to discard or to restore a cell."""

IS_KEPT = cells.c.id.not_in(select(discard.c.cell_id).where(discard.c.discarded, IS_LATEST))
"""Not discarded."""

_LISTED = 5


def name_of(connection: Connection) -> str:
    """The name of the connection's database in messages."""
    return str(connection.get_execution_options()["asapbench_database"].name)


def option_of(connection: Connection) -> str:
    """The option `--db` of a command to paste, as `Database.option` has it."""
    return str(connection.get_execution_options()["asapbench_database"].option)


def now() -> str:
    """The time, UTC, as every column holds it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def chunks(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """`ids` without repetition, in parts that fit an IN list."""
    different = tuple(dict.fromkeys(ids))
    for start in range(0, len(different), CHUNK):
        yield different[start : start + CHUNK]


def insert_missing(connection: Connection, wanted: Sequence[Cell]) -> None:
    """Records those of `wanted` that the database lacks, and where the data of the others are now."""
    by_id = {cell.id: cell for cell in wanted}
    for part in chunks(list(by_id)):
        known = set(connection.scalars(select(cells.c.id).where(cells.c.id.in_(part))))
        rows = [_row(by_id[cell_id]) for cell_id in part if cell_id not in known]
        if rows:
            connection.execute(insert(cells), rows)
            views.extend(connection, [row["config"] for row in rows])
        _record_places(connection, [by_id[cell_id] for cell_id in part if cell_id in known])


def _record_places(connection: Connection, known: Sequence[Cell]) -> None:
    """Writes the paths and labels of the data of these cells and the paths of their plug-ins, where they are others."""
    wanted = {cell.id: _row(cell) for cell in known if cell.dataset.local or cell.plugins}
    for row in connection.execute(select(cells.c.id, cells.c.config).where(cells.c.id.in_(wanted))):
        if wanted[row.id]["config"] != row.config:
            moved = {name: wanted[row.id][name] for name in ("config", "label")}
            connection.execute(update(cells).where(cells.c.id == row.id).values(moved))


def _row(cell: Cell) -> dict[str, Any]:
    return {
        "id": cell.id,
        "config": json.dumps(cell.to_json(places=True), sort_keys=True),
        "revision": json.dumps(cell.identity["revision"], sort_keys=True),
        "label": cell.label,
        "dataset": cell.dataset.name,
        "model": cell.model.name,
        "rule": cell.rule.name,
        "lr": cell.lr,
        "epochs": cell.epochs,
        "batch_size": cell.batch_size,
        "seed": cell.seed,
        "group_id": cell.group,
        "recorded_at": now(),
    }


def portable(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a cell as another machine may have it: without the paths of its data and plug-ins.

    The configuration is always written again from its content: JSON can spell one key in several ways.
    """
    content = _content(row["config"])
    kept = without_places(content)
    label = row["label"] if kept == content else _label_without_places(row, kept)
    return row | {"config": json.dumps(kept, sort_keys=True), "label": label}


def _label_without_places(row: dict[str, Any], content: dict[str, Any]) -> str:
    try:
        return Cell.from_json(content).label
    except SuiteError:  # the stored label may have the last part of a path
        return f"{row['dataset']} {row['model']} {row['rule']} seed {row['seed']}"


def _content(config: str) -> dict[str, Any]:
    """A `config` column as plain data. Raises UntrustedRowError."""
    content = from_json("config", config)
    if not isinstance(content, dict):
        raise untrusted("config", "it is no JSON object")
    return content


@lru_cache(maxsize=20_000)  # a report reads a suite's cells, and then their results
def read_config(config: str) -> Cell:
    """The cell of a `config` column. Raises SuiteError if this version lacks its rule, model or data set."""
    try:
        content = json.loads(config)
    except (TypeError, ValueError, RecursionError) as error:
        raise SuiteError(
            f"a stored cell cannot be read: its configuration is not JSON ({error}); {RESTORE_IT}"
        ) from error
    return Cell.from_json(content)


def record_suite(
    connection: Connection, name: str, source: str, wanted: Sequence[Cell], *, text: str | None = None
) -> None:
    """Records the suite and adds its new cells to its list; the others stay, so that `resume` forgets nothing.

    `text` is the content of the suite's file `source`. Writes nothing if nothing has changed.
    """
    known = [(row.id, readable_cell(row.config)) for row in _of_suite(connection, name)]
    members = {cell_id if cell is None else cell.id: cell for cell_id, cell in known}
    members |= {cell.id: cell for cell in wanted}
    insert_missing(connection, [cell for cell in members.values() if cell is not None])
    ids, old_ids = list(members), [cell_id for cell_id, _ in known]
    old = connection.execute(select(suites.c.source, suites.c.text).where(suites.c.name == name)).one_or_none()
    if old is not None and tuple(old) == (source, text) and old_ids == ids:
        return
    values = {"source": source, "text": text, "updated_at": now()}
    if old is None:
        connection.execute(insert(suites).values(name=name, **values))
    else:
        connection.execute(update(suites).where(suites.c.name == name).values(**values))
    if old_ids != ids:
        connection.execute(delete(suite_cell).where(suite_cell.c.suite == name))
        rows = [{"suite": name, "cell_id": cell_id, "position": i} for i, cell_id in enumerate(ids)]
        if rows:
            connection.execute(insert(suite_cell), rows)


def cell_ids_of(connection: Connection, name: str) -> list[str]:
    """The identities of a suite's cells, in its order."""
    query = select(suite_cell.c.cell_id).where(suite_cell.c.suite == name).order_by(suite_cell.c.position)
    return list(connection.scalars(query))


def all_suites(connection: Connection) -> list[SuiteRecord]:
    """Every suite ever recorded, by name."""
    count = func.count(suite_cell.c.cell_id)
    query = (
        select(suites.c.name, suites.c.source, suites.c.text, suites.c.updated_at, count.label("cells"))
        .outerjoin(suite_cell, suite_cell.c.suite == suites.c.name)
        .group_by(suites.c.name, suites.c.source, suites.c.text, suites.c.updated_at)
        .order_by(suites.c.name)
    )
    return [checked(SuiteRecord, row) for row in connection.execute(query).mappings()]


def suites_of(connection: Connection, cell_ids: Sequence[str]) -> dict[str, set[str]]:
    """The suites, by name, that have one of these cells, with those that they have."""
    found: dict[str, set[str]] = {}
    for part in chunks(cell_ids):
        query = select(suite_cell.c.suite, suite_cell.c.cell_id).where(suite_cell.c.cell_id.in_(part))
        for suite, cell_id in connection.execute(query.order_by(suite_cell.c.suite)):
            found.setdefault(suite, set()).add(cell_id)
    return found


def require_suite(connection: Connection, name: str) -> None:
    """Raises StoreError, with the nearest name, for a suite that was never recorded."""
    names = list(connection.scalars(select(suites.c.name)))
    if name not in names:
        raise StoreError(f'{name_of(connection)} knows no suite "{name}"{nearest(name, names)}{there_are(names)}')


def readable_cells(
    connection: Connection, name: str, *, with_discarded: bool = False
) -> tuple[list[Cell], dict[str, str]]:
    """The cells of a suite that this installation can read, in its order, and the labels of the others by identity.

    Discarded cells are left out, unless `with_discarded`. Raises StoreError for an unknown suite.
    """
    readable, unreadable = ordered_cells(connection, name, with_discarded=with_discarded)
    return list(readable.values()), unreadable


def ordered_cells(
    connection: Connection, name: str, *, with_discarded: bool = False
) -> tuple[dict[str, Cell], dict[str, str]]:
    """As `readable_cells`, the cells by the identity that the database has for them."""
    require_suite(connection, name)
    # Joined and sorted here: SQLite looks each cell up, which takes longer.
    own = select(suite_cell.c.cell_id, suite_cell.c.position).where(suite_cell.c.suite == name)
    place = {row[0]: row[1] for row in connection.execute(own)}
    query = select(*BRIEF).where(may_be_of(connection, name, cells.c.id), true() if with_discarded else IS_KEPT)
    rows = [row for row in connection.execute(query) if row[0] in place]
    rows.sort(key=lambda row: place[row[0]])
    found = dict(read_cells(connection, rows))
    unreadable = [cell_id for cell_id, cell in found.items() if cell is None]
    return {cell_id: cell for cell_id, cell in found.items() if cell is not None}, labels(connection, unreadable)


def may_be_of(connection: Connection, suite: str, cell_id: ColumnElement[str]) -> ColumnElement[bool]:
    """A condition that all rows of a suite's cells meet: every row, where that is quicker than to look each one up."""
    own = connection.scalar(select(func.count()).where(suite_cell.c.suite == suite)) or 0
    if 2 * own > (connection.scalar(select(func.count()).select_from(cells)) or 0):
        return true()
    return cell_id.in_(select(suite_cell.c.cell_id).where(suite_cell.c.suite == suite))


def labels(connection: Connection, cell_ids: Sequence[str]) -> dict[str, str]:
    """The labels of these cells as they were recorded: for those that cannot be read."""
    found: dict[str, str] = dict.fromkeys(cell_ids, "")
    for part in chunks(cell_ids):
        found |= {
            row.id: row.label
            for row in connection.execute(select(cells.c.id, cells.c.label).where(cells.c.id.in_(part)))
        }
    return found


def suite_plugins(connection: Connection, name: str) -> list[str]:
    """The plug-ins that the cells of a suite were recorded with on this machine, as `plugins.load` takes them."""
    found: dict[str, None] = {}
    require_suite(connection, name)
    for row in _of_suite(connection, name):
        places = _content(row.config).get("places")
        named = places.get("plugins") if isinstance(places, dict) else None
        found |= dict.fromkeys(one for one in (named if isinstance(named, list) else ()) if isinstance(one, str))
    return list(found)


def readable_cell(config: str, cell_id: str | None = None) -> Cell | None:
    """The cell of a `config` column; None if this version lacks its rule, model or data set.

    With `cell_id`, it knows that this is its identity in the database.
    """
    try:
        cell = read_config(config)
    except SuiteError:
        return None
    return cell if cell_id is None else cell.stored_as(cell_id)


def representatives(connection: Connection) -> dict[str, tuple[str, Cell | None]]:
    """By group, as the database names it, the identity of one of its cells, and the cell if it can be read.

    The groups are in the order in which cells are listed where no suite orders them.
    """
    one = select(func.min(cells.c.id)).group_by(cells.c.group_id)
    query = select(cells.c.id, cells.c.group_id, cells.c.config).where(cells.c.id.in_(one)).order_by(*ORDER)
    return {row.group_id: (row.id, readable_cell(row.config)) for row in connection.execute(query)}


BRIEF = (cells.c.id, cells.c.group_id, cells.c.seed, case((cells.c.config.contains('"places"'), cells.c.config)))
"""What `read_cells` needs of each cell."""


def read_cells(connection: Connection, rows: Sequence[Row[Any, Any, Any, Any]]) -> Iterator[tuple[str, Cell | None]]:
    """For each row of `BRIEF` its identity and the cell, None if it cannot be read.

    Quickly: cells that differ in the seed alone share the reading of their configuration. Only a cell whose data or
    plug-ins have places is read from its own configuration, which has them.
    """
    one_of = {group_id: cell_id for cell_id, group_id, _, placed in rows if placed is None}
    first: dict[str, Cell | None] = {}
    for part in chunks(list(one_of.values())):
        query = select(cells.c.group_id, cells.c.config).where(cells.c.id.in_(part))
        first |= {row.group_id: readable_cell(row.config) for row in connection.execute(query)}
    is_current = {group_id: cell is not None and cell.id == one_of[group_id] for group_id, cell in first.items()}
    for cell_id, group_id, seed, placed in rows:
        if placed is not None:
            yield cell_id, readable_cell(placed, cell_id)
        elif (cell := first[group_id]) is None:
            yield cell_id, None
        elif is_current[group_id]:
            yield cell_id, cell.with_seed(seed, cell_id=cell_id)
        else:
            yield cell_id, cell.with_seed(seed).stored_as(cell_id)


def group_cells(connection: Connection, name: str) -> list[Cell]:
    """One readable cell of each group of a suite."""
    own = suite_cell.join(cells, cells.c.id == suite_cell.c.cell_id)
    one = select(func.min(cells.c.id)).select_from(own).where(suite_cell.c.suite == name).group_by(cells.c.group_id)
    configs = connection.scalars(select(cells.c.config).where(cells.c.id.in_(one)))
    return [cell for config in configs if (cell := readable_cell(config)) is not None]


def data_sets(connection: Connection, name: str) -> list[Choice]:
    """The data sets of this entry that the readable cells have, each with its places on this machine; newest first."""
    query = select(cells.c.config).where(cells.c.dataset == name).order_by(cells.c.recorded_at.desc())
    found = [cell.dataset for config in connection.scalars(query) if (cell := readable_cell(config)) is not None]
    return list({(dataset, dataset.local): dataset for dataset in found}.values())


def _of_suite(connection: Connection, name: str) -> list[Row[Any, Any, Any]]:
    """The identity, label and configuration of each cell of a suite, in its order."""
    query = (
        select(cells.c.id, cells.c.label, cells.c.config)
        .join(suite_cell, suite_cell.c.cell_id == cells.c.id)
        .where(suite_cell.c.suite == name)
        .order_by(suite_cell.c.position)
    )
    return list(connection.execute(query))


def configuration(connection: Connection, cell_id: str) -> dict[str, Any]:
    """A cell as plain data, without places; also one whose rule, model or data set is not installed."""
    config = connection.scalar(select(cells.c.config).where(cells.c.id == cell_id))
    if config is None:
        raise StoreError(f"{name_of(connection)} has no cell {cell_id}")
    return without_places(_content(config))


def outdated(connection: Connection, name: str) -> int:
    """How many readable cells of the suite were trained under an earlier revision of an entry or of the recipe."""
    query = (
        select(cells.c.id, cells.c.config)
        .join(suite_cell, suite_cell.c.cell_id == cells.c.id)
        .where(suite_cell.c.suite == name, cells.c.id.in_(select(attempts.c.cell_id)))
    )
    found = [(row.id, readable_cell(row.config)) for row in connection.execute(query)]
    return sum(cell is not None and cell.id != cell_id for cell_id, cell in found)


def find_id(connection: Connection, prefix: str) -> str:
    """The identity that starts with these digits. Raises StoreError if there is none, or more than one."""
    digits = prefix.strip().lower()
    if not digits or set(digits) - set(string.hexdigits):
        raise StoreError(f'"{prefix}" is not a cell: give the first digits (0-9, a-f) of its identity')
    query = select(cells.c.id, cells.c.label).where(cells.c.id.startswith(digits)).order_by(cells.c.id)
    found = connection.execute(query.limit(_LISTED + 1)).all()
    if not found and (outdated := _stored_under(connection, digits)):
        found = connection.execute(select(cells.c.id, cells.c.label).where(cells.c.id.in_(outdated))).all()
    if not found:
        missing = f"{name_of(connection)} has no cell that starts with {digits}"
        raise StoreError(f"{missing}: `asapbench status --cells{option_of(connection)}` lists them")
    if len(found) > 1:
        listed = ", ".join(f"{row.id[: max(10, len(digits) + 2)]} ({row.label})" for row in found[:_LISTED])
        more = ", ..." if len(found) > _LISTED else ""
        raise StoreError(f"{digits} is the beginning of more than one cell: {listed}{more}")
    return str(found[0].id)


def _stored_under(connection: Connection, digits: str) -> list[str]:
    """The stored identities of outdated cells whose identity starts with these digits now."""
    rows = connection.execute(select(*BRIEF).order_by(cells.c.id)).all()
    readable = ((cell_id, cell) for cell_id, cell in read_cells(connection, rows) if cell is not None)
    found = (cell_id for cell_id, cell in readable if cell.id.startswith(digits))
    return list(islice(found, _LISTED + 1))
