"""Merging: adds the content of another database to this one. Merging twice changes nothing.

Attempts are identified by their UUIDs, cells and provenance by their content. A lineage (an attempt and those that
resume it) is added as a whole or not at all. Facts about a database's own machine are not merged: where weights and
data are, and when and from which file it recorded a cell or a suite.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Column, Connection, Table, and_, func, insert, select, update

from asapbench.store import discards, merge_rules, views
from asapbench.store.cells import cell_ids_of, chunks, now, portable
from asapbench.store.connect import Database
from asapbench.store.merge_rules import ContradictionError, Row
from asapbench.store.records import Conflict, Disagreement, Merged
from asapbench.store.schema import (
    LAYER_TABLES,
    alignment,
    certificate,
    discard,
    epoch_metrics,
    gradient_quality,
    key_of,
    measurement,
    suite_cell,
)
from asapbench.store.schema import attempt as attempts
from asapbench.store.schema import cell as cells
from asapbench.store.schema import provenance as provenances
from asapbench.store.schema import suite as suites
from asapbench.suite.load import is_portable

_PART = 100
"""Cells whose rows are in memory at a time."""

_COUNTED = {
    cells: "cells",
    attempts: "attempts",
    epoch_metrics: "epochs",
    alignment: "angles",
    gradient_quality: "gradient_qualities",
    measurement: "measurements",
    certificate: "certificates",
    discard: "discards",
    suites: "suites",
}
"""The field of `Merged` that counts the new rows of a table."""

Rows = dict[tuple[Any, ...], Row]


def merge_all(target: Connection, sources: Sequence[Database]) -> list[Merged]:
    """Adds the content of each database to `target`, one after the other."""
    merged = []
    for database in sources:
        with database.reading() as source:
            merged.append(merge(source, target))
    return merged


def merge(
    source: Connection,
    target: Connection,
    *,
    cell_ids: Sequence[str] | None = None,
    suite_names: Sequence[str] | None = None,
) -> Merged:
    """Adds these cells and suites of `source` to `target`; all of them where they are None.

    Certificates come with the rules of the cells: with some cells those of their rules, with all cells all.
    """
    merging = _Merging(source, target)
    chosen = list(source.scalars(select(cells.c.id).order_by(cells.c.id))) if cell_ids is None else cell_ids
    for start in range(0, len(chosen), _PART):
        merging.take(chosen[start : start + _PART])
    names = list(source.scalars(select(suites.c.name).order_by(suites.c.name))) if suite_names is None else suite_names
    for name in names:
        merging.take_suite(name, set(chosen))
    everything = source.scalar(select(func.count()).select_from(cells))
    merging.take_certificates(None if len(chosen) == everything else chosen)
    return merging.merged


@dataclass(frozen=True)
class _Held:
    """Rows of some cells in one database: attempts by id, epochs and layers by lineage and key."""

    attempts: dict[str, Row]
    epochs: dict[str, Rows]
    layers: dict[Table, dict[str, Rows]]

    def of_cell(self, cell_id: str) -> dict[str, Row]:
        return {attempt_id: row for attempt_id, row in self.attempts.items() if row["cell_id"] == cell_id}


@dataclass(frozen=True)
class _Lineage:
    """A lineage, combined from two databases."""

    attempts: dict[str, Row]
    epochs: Rows
    layers: dict[Table, Rows]


@dataclass
class _Merging:
    source: Connection
    target: Connection
    merged: Merged = field(default_factory=Merged)

    def take(self, cell_ids: Sequence[str]) -> None:
        """Adds these cells, with all rows that belong to them."""
        labels = self._take_cells(cell_ids)
        theirs = _held(self.source, list(labels))
        ours = _held(self.target, list(labels), also=list(theirs.attempts))
        theirs.attempts.update({attempt_id: _arriving(row) for attempt_id, row in theirs.attempts.items()})
        self._take_provenance(theirs)
        taken: list[str] = []
        for cell_id, label in labels.items():
            if any(row["state"] == "running" for row in ours.of_cell(cell_id).values()):
                self.merged.in_training.append(cell_id)
            else:
                taken += self._take_attempts(cell_id, label, ours, theirs)
        self._take_measurements(taken)
        self._take_discards([cell_id for cell_id in labels if cell_id not in self.merged.in_training])

    def take_suite(self, name: str, among: set[str]) -> None:
        """Appends the new cells of a suite to its list."""
        wanted = [cell_id for cell_id in cell_ids_of(self.source, name) if cell_id in among]
        if not wanted:
            return
        known = cell_ids_of(self.target, name)
        if self.target.scalar(select(suites.c.name).where(suites.c.name == name)) is None:
            file, text = self.source.execute(select(suites.c.source, suites.c.text).where(suites.c.name == name)).one()
            row = {
                "name": name,
                "source": re.split(r"[/\\]", file)[-1],  # folders of another machine mean nothing here
                "text": text if text is not None and is_portable(text) else None,
                "updated_at": now(),
            }
            self._insert(suites, [row])
        new = [cell_id for cell_id in wanted if cell_id not in set(known)]
        if new:
            first = len(known)
            self._insert(suite_cell, [{"suite": name, "cell_id": c, "position": first + i} for i, c in enumerate(new)])
            self.target.execute(update(suites).where(suites.c.name == name).values(updated_at=now()))

    def take_certificates(self, cell_ids: Sequence[str] | None) -> None:
        """Adds the missing certificates of the rules of these cells, or all."""
        query = select(certificate).order_by(certificate.c.checked_at, certificate.c.id)
        theirs = [dict(row) for row in self.source.execute(query).mappings()]
        if cell_ids is not None:
            rules = {row["rule"] for row in _rows(self.source, cells.c.id, cell_ids)}
            theirs = [row for row in theirs if row["rule_name"] in rules]
        known = set(self.target.scalars(select(certificate.c.id)))
        new = [row for row in theirs if row["id"] not in known]
        self._add_provenance({row["provenance_id"] for row in new})
        self._insert(certificate, new)

    def _take_cells(self, cell_ids: Sequence[str]) -> dict[str, str]:
        """Adds the new cells. Returns the labels of all cells whose attempts can be added, by id."""
        ours = {row["id"]: row for row in _rows(self.target, cells.c.id, cell_ids)}
        labels, new = {}, []
        for row in _rows(self.source, cells.c.id, cell_ids):
            known = ours.get(row["id"])
            if known is None:
                new.append(portable(row) | {"recorded_at": now()})
            else:
                try:
                    merge_rules.same(merge_rules.CELL_CONTENT, known, row)
                except ContradictionError as found:
                    self._refuse(row["id"], known["label"], None, found)
                    continue
            labels[row["id"]] = row["label"]
        self._insert(cells, new)
        views.extend(self.target, [row["config"] for row in new])
        return labels

    def _take_provenance(self, theirs: _Held) -> None:
        wanted = {row["provenance_id"] for row in theirs.attempts.values()}
        for part in chunks(list(theirs.attempts)):
            query = select(measurement.c.provenance_id).where(measurement.c.attempt_id.in_(part))
            wanted.update(self.source.scalars(query))
        self._add_provenance(wanted)

    def _add_provenance(self, wanted: set[str]) -> None:
        known = {row["id"] for row in _rows(self.target, provenances.c.id, sorted(wanted))}
        self._insert(provenances, _rows(self.source, provenances.c.id, sorted(wanted - known)))

    def _take_attempts(self, cell_id: str, label: str, ours: _Held, theirs: _Held) -> list[str]:
        """Adds the lineages of a cell that agree with the local ones. Returns the ids of their attempts."""
        before = ours.of_cell(cell_id)
        agreed: dict[str, _Lineage] = {}
        for lineage, rows in _by_lineage(theirs.of_cell(cell_id).values()).items():
            try:
                agreed[lineage] = _combined(lineage, rows, ours, theirs)
            except ContradictionError as found:
                self._refuse(cell_id, label, found.row.get("attempt_id") or found.row["id"], found)
        taken = {attempt_id: row for held in agreed.values() for attempt_id, row in held.attempts.items()}
        self._write_attempts(cell_id, before, before | taken)
        for lineage, held in agreed.items():
            self._write(epoch_metrics, ours.epochs.get(lineage, {}), held.epochs)
            for table, after in held.layers.items():
                self._write(table, ours.layers[table].get(lineage, {}), after)
        curves = ours.epochs | {lineage: held.epochs for lineage, held in agreed.items()}
        self._compare(label, merge_rules.in_order(list((before | taken).values())), curves, taken=set(agreed))
        return list(taken)

    def _write_attempts(self, cell_id: str, before: Mapping[str, Row], combined: Mapping[str, Row]) -> None:
        after = {
            row["id"]: row | {"number": n}
            for n, row in enumerate(merge_rules.in_order(list(combined.values())), start=1)
        }
        if any(after[key]["number"] != row["number"] for key, row in before.items()):
            # Numbers are unique at every moment, so all are moved away before any is assigned again.
            own = attempts.c.cell_id == cell_id
            self.target.execute(update(attempts).where(own).values(number=-attempts.c.number))
            before = {key: row | {"number": -row["number"]} for key, row in before.items()}
        new = [row for key, row in after.items() if key not in before]
        new.sort(key=lambda row: merge_rules.started(row, after))  # an attempt comes before those that resume it
        for key, row in before.items():
            if after[key] != row:
                of_merge = ("number", "superseded")
                self.merged.further += _without(after[key], *of_merge) != _without(row, *of_merge)
                self.target.execute(update(attempts).where(attempts.c.id == key).values(after[key]))
        self._insert(attempts, new)

    def _take_measurements(self, attempt_ids: Sequence[str]) -> None:
        """Adds the missing rows of analyses."""
        column = measurement.c.attempt_id
        ours = {tuple(_without(row, "id").items()) for row in _rows(self.target, column, attempt_ids)}
        theirs = [_without(row, "id") for row in _rows(self.source, column, attempt_ids)]
        self._insert(measurement, [row for row in theirs if tuple(row.items()) not in ours])

    def _take_discards(self, cell_ids: Sequence[str]) -> None:
        """Adds the missing decisions to discard or to restore these cells: the last one of both databases counts."""
        ours = {row["id"] for row in _rows(self.target, discard.c.cell_id, cell_ids)}
        new = [row for row in _rows(self.source, discard.c.cell_id, cell_ids) if row["id"] not in ours]
        if not new:
            return
        before = discards.current(self.target, cell_ids=cell_ids).keys()
        self._insert(discard, new)
        after = discards.current(self.target, cell_ids=cell_ids).keys()
        self.merged.discarded += len(after - before)
        self.merged.restored += len(before - after)

    def _compare(self, label: str, rows: Sequence[Row], curves: Mapping[str, Rows], *, taken: set[str]) -> None:
        """Finds trainings that should have the same bits and do not; at least one of them was just added."""
        alike: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if row["state"] == "done" and row["bit_exact"] and not row["superseded"]:
                alike.setdefault((row["provenance_id"], row["device"]), []).append(row)
        for one, other in (pair for group in alike.values() for pair in pairwise(group)):
            if {one["lineage"], other["lineage"]} & taken:
                self._compare_curves(label, one, other, curves)

    def _compare_curves(self, label: str, one: Row, other: Row, curves: Mapping[str, Rows]) -> None:
        ours, theirs = ({key[1]: row for key, row in curves.get(a["lineage"], {}).items()} for a in (one, other))
        for epoch in sorted(ours.keys() & theirs.keys()):
            try:
                merge_rules.same(merge_rules.RESULT, ours[epoch], theirs[epoch], of=f"epoch {epoch} ")
            except ContradictionError as found:
                pair, values = (one["id"], other["id"]), (found.ours, found.theirs)
                self.merged.disagreements.append(Disagreement(one["cell_id"], label, pair, found.what, values))
                return

    def _refuse(self, cell_id: str, label: str, attempt_id: str | None, found: ContradictionError) -> None:
        self.merged.conflicts.append(Conflict(cell_id, label, attempt_id, found.what, found.ours, found.theirs))

    def _write(self, table: Table, before: Rows, after: Rows) -> None:
        key = key_of(table)
        for place, row in after.items():
            if place in before and row != before[place]:
                own = and_(*(table.c[name] == value for name, value in zip(key, place, strict=True)))
                self.target.execute(update(table).where(own).values(row))
        self._insert(table, [row for place, row in after.items() if place not in before])

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            self.target.execute(insert(table), rows)
        if name := _COUNTED.get(table):
            setattr(self.merged, name, getattr(self.merged, name) + len(rows))


def _held(connection: Connection, cell_ids: Sequence[str], *, also: Sequence[str] = ()) -> _Held:
    """All rows of these cells, and the attempts with the ids `also` of any cell."""
    found = _rows(connection, attempts.c.cell_id, cell_ids) + _rows(connection, attempts.c.id, also)
    lineages = sorted({row["lineage"] for row in found})
    return _Held(
        attempts={row["id"]: row for row in found},
        epochs=_keyed(epoch_metrics, connection, lineages),
        layers={table: _keyed(table, connection, lineages) for table in LAYER_TABLES},
    )


def _rows(connection: Connection, column: Column[Any], values: Sequence[str]) -> list[Row]:
    """The rows whose `column` has one of these values, in the order of the primary key."""
    found: list[Row] = []
    for part in chunks(values):
        query = select(column.table).where(column.in_(part)).order_by(*column.table.primary_key)
        found += [dict(row) for row in connection.execute(query).mappings()]
    return found


def _keyed(table: Table, connection: Connection, lineages: Sequence[str]) -> dict[str, Rows]:
    """The rows of these lineages, by lineage and key."""
    found: dict[str, Rows] = {}
    key = key_of(table)
    for row in _rows(connection, table.c.lineage, lineages):
        found.setdefault(row["lineage"], {})[tuple(row[name] for name in key)] = _without(row, "id")
    return found


def _by_lineage(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["lineage"], []).append(row)
    return found


def _combined(lineage: str, rows: Sequence[Row], ours: _Held, theirs: _Held) -> _Lineage:
    """A lineage combined from both databases; `rows` are its attempts in theirs. Raises ContradictionError."""
    here = ours.attempts
    return _Lineage(
        {row["id"]: merge_rules.attempt(here[row["id"]], row) if row["id"] in here else row for row in rows},
        _union(ours.epochs.get(lineage, {}), theirs.epochs.get(lineage, {}), merge_rules.epoch),
        {
            table: _union(ours.layers[table].get(lineage, {}), rows.get(lineage, {}), merge_rules.layer)
            for table, rows in theirs.layers.items()
        },
    )


def _union(ours: Rows, theirs: Rows, combined: Callable[[Row, Row], Row]) -> Rows:
    return ours | {key: combined(ours[key], row) if key in ours else row for key, row in theirs.items()}


def _arriving(row: Row) -> Row:
    """An attempt as the other database sends it: without a path of weights, and not running."""
    state = "interrupted" if row["state"] == "running" else row["state"]
    return row | {"state": state, "weights_path": None}


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}
