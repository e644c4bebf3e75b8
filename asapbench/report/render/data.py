"""CSV and JSON: the long form, one number a row, unrounded. A missing value is empty in CSV and null in JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from asapbench.escape import visible
from asapbench.report.table import Number, Table


def render_csv(table: Table) -> str:
    """A header and one row for each number, or for each record of a list.

    Numbers of a kind of their own, as of a comparison, have more columns.
    """
    if table.records:
        return csv_text(table.records)
    kinds = {type(number) for number in table.numbers} or {Number}
    names = dict.fromkeys(field.name for kind in kinds for field in fields(kind))
    return csv_text({name: [getattr(number, name, None) for number in table.numbers] for name in names})


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """A header and the rows, from the values of each column; None is empty.

    Text that a spreadsheet could run is quoted with `'`. Several values of one field have blanks between them.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*map(_fields, columns.values()), strict=True))
    return stream.getvalue()


def _fields(values: Sequence[Any]) -> Iterable[Any]:
    return map(_field, values) if any(issubclass(kind, (str, tuple)) for kind in set(map(type, values))) else values


def _field(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return inert(value) if isinstance(value, str) else value


def render_json(table: Table) -> str:
    """Title, caption, metric, unit, notes and the numbers; of a list its records."""
    notes = [asdict(note) for note in table.notes]
    if table.records:
        whole = _json({"title": table.title, "caption": table.caption, "records": [], "notes": notes})
        return whole.replace('\n  "records": []', f'\n  "records": {_json_records(table.records)}', 1)
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


def _json_records(columns: Mapping[str, Sequence[Any]]) -> str:
    """As `_json` writes a list of records of numbers and texts inside of a content, whose indent makes it slow."""
    if not all(columns.values()):
        return "[]"
    encoded = (json.dumps(list(values), separators=("\n", ":"), allow_nan=False) for values in columns.values())
    record = ",\n".join(f"      {json.dumps(name)}: %s" for name in columns)
    rows = zip(*(text[1:-1].split("\n") for text in encoded), strict=True)
    listed = ",\n".join(f"    {{\n{record % row}\n    }}" for row in rows)
    return f"[\n{listed}\n  ]"


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
