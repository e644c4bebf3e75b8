"""Imports a database file from another person as data: each row is checked and copied into a fresh database.

The file is opened for reading only. Its schema is neither run nor copied: no view, trigger or default. An older
revision is upgraded in the fresh database. A row that asapbench cannot have written is refused.
"""

from __future__ import annotations

import json
import math
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from asapbench.errors import StoreError, SuiteError
from asapbench.paths import temporary_folder
from asapbench.store import migrate
from asapbench.store.attempts import content_id
from asapbench.store.certificates import certificate_id, read_certificate
from asapbench.store.connect import Database, connect
from asapbench.store.discards import decision_id
from asapbench.store.records import Provenance
from asapbench.store.rows import UntrustedRowError
from asapbench.store.schema import cell as cells
from asapbench.store.schema import certificate as certificates
from asapbench.store.schema import discard as discards
from asapbench.store.schema import provenance as provenances
from asapbench.store.schema import suite as suites
from asapbench.suite.cell import Cell

_LONGEST = 4_000_000
"""Characters of a text: many times the size of a log's tail or of a configuration."""

_PART = 1_000
_SHOWN = 60
_PLAIN = ("lr", "epochs", "batch_size", "seed")

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
_SUITE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID = re.compile(r"(\w+_)?id|lineage|resumed_from")

_IMPOSSIBLE = {
    "a lineage that does not start with its first attempt": """
        SELECT a.id FROM attempt AS a JOIN attempt AS f ON f.id = a.lineage
        WHERE f.lineage <> f.id OR f.cell_id <> a.cell_id OR (a.resumed_from IS NULL) <> (a.id = a.lineage)""",
    "an attempt that resumes one that it cannot resume": """
        SELECT a.id FROM attempt AS a JOIN attempt AS b ON b.id = a.resumed_from
        WHERE b.lineage <> a.lineage OR b.number >= a.number OR a.superseded > b.superseded""",
    "epochs of another lineage": """
        SELECT a.id FROM epoch_metrics AS e JOIN attempt AS a ON a.id = e.attempt_id WHERE a.lineage <> e.lineage""",
    "angles of another lineage": """
        SELECT a.id FROM alignment AS e JOIN attempt AS a ON a.id = e.attempt_id WHERE a.lineage <> e.lineage""",
    "gradient qualities of another lineage": """
        SELECT a.id FROM gradient_quality AS e JOIN attempt AS a ON a.id = e.attempt_id
        WHERE a.lineage <> e.lineage""",
}


@contextmanager
def opened(files: Sequence[Path]) -> Iterator[list[Database]]:
    """The content of each file, in a temporary database that is removed at the end. Raises StoreError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder()))
        copies = []
        for number, file in enumerate(files):
            copy = stack.enter_context(closing(connect(str(folder / f"{number}.sqlite"), writable=True)))
            _copy(file, copy)
            copies.append(copy)
        yield copies


def _copy(file: Path, copy: Database) -> None:
    if not os.path.isfile(file):  # Path.is_file raises where this user may not enter the folder
        raise StoreError(
            f"{file}: there is no such database file, or this user may not enter its folder; nothing was merged"
        )
    with closing(connect(str(file), writable=False)) as other:
        with _reading(other) as theirs:
            revision = _revision(theirs, str(file))
        migrate.upgrade(copy, to=revision)
        try:
            # The untrusted file is opened innermost, so that errors name it.
            with copy.writing() as ours, _reading(other) as theirs:
                _fill(theirs, ours)
            migrate.upgrade(copy)
            with copy.reading() as ours:
                _check(ours)
        except ValueError as error:
            raise StoreError(f"{file}: {error}: asapbench does not write this; nothing was merged") from error


@contextmanager
def _reading(other: Database) -> Iterator[sa.Connection]:
    with other.reading() as theirs:
        raw = theirs.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * _LONGEST)
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            theirs.exec_driver_sql(f"PRAGMA {pragma}")
        yield theirs


def _revision(theirs: sa.Connection, name: str) -> str:
    if "alembic_version" not in _tables(theirs):
        raise StoreError(f"{name} is not a database of asapbench; nothing was merged")
    damage = theirs.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if damage != "ok":
        raise StoreError(f"{name} is damaged: restore it from a copy; nothing was merged ({damage})")
    revision = theirs.exec_driver_sql("SELECT v.[version_num] FROM main.[alembic_version] AS v").scalar()
    if revision not in migrate.KNOWN:
        raise StoreError(
            f"{name} is at revision {revision}, which this version does not know: upgrade asapbench; nothing was merged"
        )
    return str(revision)


def _tables(theirs: sa.Connection) -> set[str]:
    """Names of real tables: a view or a virtual table would run code."""
    return set(theirs.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").scalars())


def _fill(theirs: sa.Connection, ours: sa.Connection) -> None:
    """Copies every row. Raises ValueError for one that cannot be."""
    ours.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # an attempt may come before the one that it resumes
    tables, present = sa.MetaData(), _tables(theirs)
    tables.reflect(ours)
    for table in tables.sorted_tables:
        if table.name == "alembic_version":
            continue
        if table.name not in present:
            raise ValueError(f"there is no table {table.name}")
        columns = list(table.columns)
        names = ", ".join(f"t.[{column.name}]" for column in columns)
        found = theirs.exec_driver_sql(f"SELECT {names} FROM main.[{table.name}] AS t")
        for part in found.partitions(_PART):
            ours.execute(sa.insert(table), [_checked(columns, row) for row in part])
    if dangling := ours.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise ValueError(f"a row of {dangling[0]} refers to one of {dangling[2]} that is not there")


def _checked(columns: Sequence[sa.Column[Any]], row: Sequence[Any]) -> dict[str, Any]:
    """The row, if its values have the types of the columns. Raises ValueError."""
    checked = {}
    for column, value in zip(columns, row, strict=True):
        try:
            checked[column.name] = None if value is None and column.nullable else _value(column, value)
        except ValueError as error:
            raise ValueError(f"{column.table.name}.{column.name} {error}") from error
    return checked


def _value(column: sa.Column[Any], value: Any) -> str | int | float | bool:
    kind = column.type
    if isinstance(kind, sa.String):
        return _text(column, value, longest=kind.length or _LONGEST)
    if isinstance(kind, sa.Boolean):
        if type(value) is int and value in (0, 1):
            return bool(value)
    elif isinstance(kind, sa.Integer):
        bits = 63 if isinstance(kind, sa.BigInteger) else 31
        if type(value) is int and -(2**bits) <= value < 2**bits:
            return value
    elif isinstance(kind, sa.Double) and type(value) is float and math.isfinite(value):
        return value
    raise ValueError(f"is {_shown(value)}")


def _text(column: sa.Column[Any], value: Any, *, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise ValueError(f"is {_shown(value)}")
    if longest < _LONGEST and _ID.fullmatch(column.name) and not re.fullmatch(f"[0-9a-f]{{{longest}}}", value):
        raise ValueError(f"is {_shown(value)}, no identity")
    if column.name.endswith("_at") and not _TIME.fullmatch(value):
        raise ValueError(f"is {_shown(value)}, no time")
    return value


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check(copy: sa.Connection) -> None:
    """Raises ValueError for rows that contradict each other or themselves."""
    for what, query in _IMPOSSIBLE.items():
        if found := copy.scalar(sa.text(query)):
            raise ValueError(f"attempt {found[:12]}: {what}")
    for name in copy.scalars(sa.select(suites.c.name)):
        if not _SUITE_NAME.fullmatch(name):
            raise ValueError(f"suite {_shown(name)}: no name of a suite")
    for row in copy.execute(sa.select(provenances)).mappings():
        _check_provenance(row)
    for row in copy.execute(sa.select(cells)).mappings():
        _check_cell(row)
    for row in copy.execute(sa.select(certificates)).mappings():
        _check_certificate(row)
    for row in copy.execute(sa.select(discards)).mappings():
        _check_discard(row)


def _check_provenance(row: sa.RowMapping) -> None:
    versions, hardware = _json(row["versions"]), _json(row["hardware"])
    if content_id(Provenance(row["commit"], row["dirty"], versions, hardware)) != row["id"]:
        raise ValueError(f"provenance {row['id'][:12]}: the content is not that of its identity")


def _check_cell(row: sa.RowMapping) -> None:
    """A cell of a rule that is not installed is only text, but its columns must agree with it."""
    config, revision = _json(row["config"]), _json(row["revision"])
    stated = [config.get(name) for name in _PLAIN] + [_name(config.get(name)) for name in ("dataset", "model", "rule")]
    kept = [row[name] for name in (*_PLAIN, "dataset", "model", "rule")]
    try:
        cell = Cell.from_json(config)
        forged = cell.identity["revision"] == revision and (cell.id, cell.group) != (row["id"], row["group_id"])
    except SuiteError:
        forged = False
    if forged or stated != kept:
        raise ValueError(f"cell {row['id'][:10]}: the configuration is not that of its identity")


def _check_certificate(row: sa.RowMapping) -> None:
    """The findings, and the digest of all of it."""
    try:
        found = read_certificate(row)
    except UntrustedRowError as error:
        raise ValueError(f"certificate {row['id'][:12]}: {error}") from error
    if certificate_id(row) != row["id"] or (found.verdict, found.rule_name) != (row["verdict"], row["rule_name"]):
        raise ValueError(f"certificate {row['id'][:12]}: the content is not that of its identity")


def _check_discard(row: sa.RowMapping) -> None:
    """A time in the future would make every later decision of this database the earlier one."""
    if decision_id(row) != row["id"]:
        raise ValueError(f"discard {row['id'][:12]}: the content is not that of its identity")
    if datetime.fromisoformat(row["decided_at"]) > datetime.now(UTC) + timedelta(days=1):
        raise ValueError(f"discard {row['id'][:12]}: decided at {row['decided_at']}, which is in the future")


def _name(choice: object) -> object:
    return choice.get("name") if isinstance(choice, dict) else None


def _json(content: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{_shown(content)} is not JSON") from error
    if not isinstance(found, dict):
        raise ValueError(f"{_shown(content)} is no JSON object")
    return found
