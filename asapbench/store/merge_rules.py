"""What two databases together know of one attempt, epoch or layer: rows in, a row out, no SQL.

Every rule is associative, commutative and idempotent, so that the order of merging does not matter. Rows that cannot
both be true raise `ContradictionError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from asapbench.metrics import HOW_FAST, EpochMetrics
from asapbench.store.records import FINAL
from asapbench.store.schema import attempt as attempts

Row = dict[str, Any]

CELL_CONTENT = ("revision", "dataset", "model", "rule", "lr", "epochs", "batch_size", "seed", "group_id")
"""What the same cell has in every database. Its label and its options in full may differ between versions."""

RESULT = tuple(field.name for field in fields(EpochMetrics) if field.name not in HOW_FAST)
"""Columns of an epoch that repeat bit for bit under the same conditions."""

_START = ("cell_id", "lineage", "resumed_from", "device", "provenance_id", "started_at")
_OWNER = ("host", "boot_id", "pid", "pid_started")
_NOT_OUTCOME = {*_START, *_OWNER, "id", "number", "superseded", "lease", "weights_path"}
_OUTCOME = tuple(column.name for column in attempts.columns if column.name not in _NOT_OUTCOME)
_BLANKED = ("error", "log_tail")
"""What an anonymous export blanks, together with `_OWNER`."""


@dataclass
class ContradictionError(Exception):
    """Two values of one fact: `ours` and `theirs` are the values of `what`. `row` is theirs."""

    what: str
    ours: object
    theirs: object
    row: Mapping[str, Any]


def same(names: Iterable[str], ours: Mapping[str, Any], theirs: Mapping[str, Any], *, of: str = "") -> None:
    """Raises ContradictionError unless both rows have the same values under these names."""
    for name in names:
        if ours[name] != theirs[name]:
            raise ContradictionError(f"{of}{name}", ours[name], theirs[name], theirs)


def attempt(ours: Row, theirs: Row) -> Row:
    """The further version of an attempt, with blanks filled. Superseded in one database is superseded.

    An attempt that was running, or counted as dead, when a copy was made may have ended since: its own end counts.
    Raises ContradictionError for two different starts or ends.
    """
    same(_START, ours, theirs)
    owner = {name: _filled(name, ours, theirs) for name in _OWNER}
    if _ended_by_itself(ours) and _ended_by_itself(theirs):
        same((name for name in _OUTCOME if name not in _BLANKED), ours, theirs)
        outcome = {name: ours[name] for name in _OUTCOME} | {name: _filled(name, ours, theirs) for name in _BLANKED}
    else:
        further = max(ours, theirs, key=_progress)
        outcome = {name: further[name] for name in _OUTCOME}
    lease = max(ours["lease"], theirs["lease"])
    superseded = ours["superseded"] or theirs["superseded"]
    return ours | owner | outcome | {"lease": lease, "superseded": superseded}


def epoch(ours: Row, theirs: Row) -> Row:
    """One of two records of an epoch. Two attempts of a lineage may both have trained it: the content decides which.

    Raises ContradictionError if the results are not the same bits.
    """
    same(RESULT, ours, theirs, of=f"epoch {ours['epoch']} ")
    return min(ours, theirs, key=lambda row: [_sortable(row[name]) for name in ("attempt_id", *HOW_FAST)])


def layer(ours: Row, theirs: Row) -> Row:
    """One of two records of a layer after an epoch. Raises ContradictionError if they are not the same bits."""
    what = filter(None, ("epoch", str(ours["epoch"]), ours["layer"], ours.get("quantity"), ""))
    same((name for name in ours if name != "attempt_id"), ours, theirs, of=f"{' '.join(what)} ")
    return min(ours, theirs, key=lambda row: str(row["attempt_id"]))


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The attempts of a cell in the order of their numbers: by start, with a result last.

    So the current attempt, the one with the greatest number that is not superseded, is the newest result, or the newest
    attempt if there is no result. An attempt comes after the one that it resumes, whatever the clocks say.
    """
    by_id = {row["id"]: row for row in rows}

    def place(row: Row) -> tuple[bool, bool, str, int, str]:
        valid = not row["superseded"]
        return valid, valid and row["state"] in FINAL, *started(row, by_id), row["id"]

    return sorted(rows, key=place)


def started(row: Row, by_id: Mapping[str, Row]) -> tuple[str, int]:
    """When an attempt started, not before those that it resumes, and how many those are."""
    latest, earlier, before = row["started_at"], 0, by_id.get(row["resumed_from"])
    while before is not None:
        latest, earlier, before = max(latest, before["started_at"]), earlier + 1, by_id.get(before["resumed_from"])
    return latest, earlier


def _ended_by_itself(row: Row) -> bool:
    return row["state"] not in ("running", "interrupted")


def _progress(row: Row) -> list[Any]:
    """How far an attempt has come. The rest of the row makes this a total order: no two rows are equal."""
    rest = [_sortable(row[name]) for name in _OUTCOME]
    return [_ended_by_itself(row), row["epochs_done"], row["lease"], *rest]


def _sortable(value: Any) -> tuple[bool, Any]:
    return value is not None, value


def _filled(name: str, ours: Row, theirs: Row) -> Any:
    """The value that is not blank. Raises ContradictionError for two different values."""
    if not ours[name]:
        return theirs[name]
    if theirs[name]:
        same((name,), ours, theirs)
    return ours[name]
