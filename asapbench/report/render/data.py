"""CSV and JSON: the long form, one number a row, unrounded. A missing value is empty in CSV and null in JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from asapbench.escape import visible
from asapbench.report.table import Number, Table


def render_csv(table: Table) -> str:
    """A header and one row for each number, or for each record of a list.

    Numbers of a kind of their own, as of a comparison, have more columns.
    """
    if table.records:
        return csv_text(list(table.records[0]), table.records)
    kinds = {type(number) for number in table.numbers} or {Number}
    columns = dict.fromkeys(field.name for kind in kinds for field in fields(kind))
    return csv_text(columns, map(asdict, table.numbers))


def csv_text(columns: Collection[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A header and the rows; empty where a row lacks a column.

    Text that a spreadsheet could run is quoted with `'`. Several values of one column have blanks between them.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _field(value) for name, value in row.items()})
    return stream.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return inert(value) if isinstance(value, str) else value


def render_json(table: Table) -> str:
    """Title, caption, metric, unit, notes and the numbers; of a list its records."""
    notes = [asdict(note) for note in table.notes]
    if table.records:
        return _json({"title": table.title, "caption": table.caption, "records": table.records, "notes": notes})
    content = {
        "title": table.title,
        "caption": table.caption,
        "metric": _shared(number.metric for number in table.numbers),
        "unit": _shared(number.unit for number in table.numbers),
        "spread": "sample standard deviation",
        "summary": table.summary or None,
        "numbers": [asdict(number) for number in table.numbers],
        "notes": notes,
    }
    return _json(content)


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _shared(texts: Iterable[str]) -> str | None:
    """The text, where all are the same."""
    different = set(texts)
    return different.pop() if len(different) == 1 else None


def inert(text: str) -> str:
    """`text` so that a spreadsheet reads it as text, never as a formula.

    >>> inert("=SUM(A1)"), inert("ASAP")
    ("'=SUM(A1)", 'ASAP')
    """
    shown = visible(text)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown
