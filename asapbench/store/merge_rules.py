"""What two databases together know of one attempt, epoch or angle: rows in, a row out, no SQL.

Every join is associative, commutative and idempotent, so that the order of merging does not matter. Rows that cannot
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
"""What an epoch gives, bit for bit, whoever trains it under the same conditions."""

_BEGUN = ("cell_id", "lineage", "resumed_from", "device", "provenance_id", "started_at")
_HOLDER = ("host", "boot_id", "pid", "pid_started")
_NOT_OUTCOME = {*_BEGUN, *_HOLDER, "id", "number", "superseded", "lease", "weights_path"}
_OUTCOME = tuple(column.name for column in attempts.columns if column.name not in _NOT_OUTCOME)
_BLANKED = ("error", "log_tail")
"""With `_HOLDER`, what an anonymous export leaves out."""


@dataclass
class ContradictionError(Exception):
    """The same thing, told in two ways: `ours` and `theirs` are the values of `what`. `row` is theirs."""

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
    """The attempt as far as either has seen it; blanks are filled. Superseded by one is superseded.

    One that was still running, or was taken for dead, when a copy was made may have ended since: its own end counts.
    Raises ContradictionError where it began otherwise, or ended in two ways.
    """
    same(_BEGUN, ours, theirs)
    holder = {name: _filled(name, ours, theirs) for name in _HOLDER}
    if _ended_by_itself(ours) and _ended_by_itself(theirs):
        same((name for name in _OUTCOME if name not in _BLANKED), ours, theirs)
        outcome = {name: ours[name] for name in _OUTCOME} | {name: _filled(name, ours, theirs) for name in _BLANKED}
    else:
        further = max(ours, theirs, key=_progress)
        outcome = {name: further[name] for name in _OUTCOME}
    lease = max(ours["lease"], theirs["lease"])
    superseded = ours["superseded"] or theirs["superseded"]
    return ours | holder | outcome | {"lease": lease, "superseded": superseded}


def epoch(ours: Row, theirs: Row) -> Row:
    """The epoch, told once. Two attempts of a lineage may both have trained it: one of them is taken by its content.

    Raises ContradictionError where the results are not the same bits.
    """
    same(RESULT, ours, theirs, of=f"epoch {ours['epoch']} ")
    return min(ours, theirs, key=lambda row: [_sortable(row[name]) for name in ("attempt_id", *HOW_FAST)])


def angle(ours: Row, theirs: Row) -> Row:
    """The angle, told once. Raises ContradictionError where it is not the same bits."""
    same(("degrees",), ours, theirs, of=f"epoch {ours['epoch']} {ours['layer']} {ours['quantity']} ")
    return min(ours, theirs, key=lambda row: str(row["attempt_id"]))


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The attempts of a cell in the order of their numbers: by when they began, with a result last.

    So the current attempt, which has the greatest number of those not superseded, is the newest result; the newest
    attempt where there is none. An attempt comes after the one that it goes on from, whatever the clock said.
    """
    by_id = {row["id"]: row for row in rows}

    def place(row: Row) -> tuple[bool, bool, str, int, str]:
        valid = not row["superseded"]
        return valid, valid and row["state"] in FINAL, *began(row, by_id), row["id"]

    return sorted(rows, key=place)


def began(row: Row, by_id: Mapping[str, Row]) -> tuple[str, int]:
    """When an attempt began, not before those it goes on from, and how many those are."""
    latest, earlier, before = row["started_at"], 0, by_id.get(row["resumed_from"])
    while before is not None:
        latest, earlier, before = max(latest, before["started_at"]), earlier + 1, by_id.get(before["resumed_from"])
    return latest, earlier


def _ended_by_itself(row: Row) -> bool:
    return row["state"] not in ("running", "interrupted")


def _progress(row: Row) -> list[Any]:
    """How far an attempt has come. The rest of the row makes it a total order: no two rows are equally far."""
    rest = [_sortable(row[name]) for name in _OUTCOME]
    return [_ended_by_itself(row), row["epochs_done"], row["lease"], *rest]


def _sortable(value: Any) -> tuple[bool, Any]:
    return value is not None, value


def _filled(name: str, ours: Row, theirs: Row) -> Any:
    """The value that is not blank. Raises ContradictionError for two."""
    if not ours[name]:
        return theirs[name]
    if theirs[name]:
        same((name,), ours, theirs)
    return ours[name]
