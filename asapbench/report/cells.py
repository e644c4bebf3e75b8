"""Results cell by cell, each with what it ran on: plain tables for other programs, or to commit.

CSV has one row for each cell with all its settings; JSON also has the learning curve. Accuracies are fractions of 1.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asapbench.durable import check_place
from asapbench.errors import AsapbenchError
from asapbench.report.out import write_whole
from asapbench.report.recorded import naming_discarded
from asapbench.report.render.data import csv_text
from asapbench.suite.columns import distinct_labels, settings

if TYPE_CHECKING:
    from asapbench.store import Provenance, Result, Store

_TABLES = (".csv", ".json")
_DATABASES = (".sqlite", ".sqlite3", ".db")

_OF_ATTEMPT = (
    "state",
    "epochs_done",
    "last_test_accuracy",
    "best_test_accuracy",
    "best_test_epoch",
    "best_val_test_accuracy",
    "best_val_epoch",
    "bit_exact",
    "device",
    "host",
    "started_at",
    "ended_at",
)


def asks_for_table(path: Path) -> bool:
    """Whether the name of an export file asks for a table, not a database. Raises AsapbenchError for other names.

    >>> asks_for_table(Path("cells.csv")), asks_for_table(Path("cells.sqlite"))
    (True, False)
    """
    ending = path.suffix.lower()
    if ending not in (*_TABLES, *_DATABASES):
        raise AsapbenchError(
            f"{path}: the name does not say what to write: end it in {', '.join(_DATABASES)} for a database, in "
            f"{' or '.join(_TABLES)} for a table"
        )
    return ending in _TABLES


def write_cells(
    path: Path, store: Store, *, suites: Sequence[str], filters: Sequence[str], anonymous: bool, force: bool
) -> int:
    """Writes the current attempt of each chosen cell that is not discarded, in the format of the ending of `path`.

    Returns their number.

    Raises AsapbenchError for a file that cannot be written or exists already, StoreError and SuiteError as the store.
    """
    check_place(path, str(path), replace=force)
    unreadable = set(store.unreadable_cells())
    with naming_discarded(store, filters, suites=suites):
        chosen = [cell_id for cell_id in store.chosen(suites=suites, filters=filters) if cell_id not in unreadable]
    results = [replace(result, cell=result.cell.without_places()) for result in store.results_of(chosen)]
    labels = distinct_labels(result.cell for result in results)
    rows = [
        {
            "cell": result.attempt.cell_id,
            "short_id": result.attempt.cell_id[:10],
            "group_id": result.cell.group,
            "label": labels[result.cell.id],
        }
        | _row(result, store.provenance(result.attempt.provenance_id), anonymous=anonymous)
        for result in results
    ]
    if path.suffix.lower() == ".csv":
        names = dict.fromkeys(name for row in rows for name in row)
        content = csv_text({name: [row.get(name) for row in rows] for name in names})
    else:
        content = _json(results, rows, store)
    write_whole(path, content, what=str(path))
    return len(rows)


def _row(result: Result, provenance: Provenance, *, anonymous: bool) -> dict[str, Any]:
    row: dict[str, Any] = settings(result.cell) | {name: getattr(result.attempt, name) for name in _OF_ATTEMPT}
    row |= {"host": ""} if anonymous else {}
    row |= {"commit": provenance.commit, "commit.dirty": provenance.dirty}
    row |= {f"versions.{name}": version for name, version in sorted(provenance.versions.items())}
    return row | dict(_hardware(provenance))


def _hardware(provenance: Provenance) -> Iterator[tuple[str, Any]]:
    for name, value in sorted(provenance.hardware.items()):
        if isinstance(value, dict):
            yield from ((f"hardware.{name}.{inner}", _plain(one)) for inner, one in sorted(value.items()))
        else:
            yield f"hardware.{name}", _plain(value)


def _plain(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def _json(results: Sequence[Result], rows: Sequence[dict[str, Any]], store: Store) -> str:
    cells = []
    for result, row in zip(results, rows, strict=True):
        curve = [_without_nan(asdict(epoch)) for epoch in store.epochs(result.attempt.lineage)]
        cells.append(row | {"configuration": result.cell.to_json(), "curve": curve})
    return json.dumps({"cells": cells}, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _without_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
