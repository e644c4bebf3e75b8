"""CSV and JSON: the long form, one number a row, unrounded. Missing is empty in CSV and null in JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, fields

from asapbench.escape import visible
from asapbench.report.table import Number, Table


def render_csv(table: Table) -> str:
    """A header and one row a number. Text that a spreadsheet would take for a formula is quoted with `'`."""
    stream = io.StringIO()
    columns = [field.name for field in fields(Number)]
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for number in table.numbers:
        values = asdict(number)
        writer.writerow({key: inert(value) if isinstance(value, str) else value for key, value in values.items()})
    return stream.getvalue()


def render_json(table: Table) -> str:
    """Title, caption, metric, unit, notes and the numbers."""
    content = {
        "title": table.title,
        "caption": table.caption,
        "metric": table.metric,
        "unit": table.unit,
        "spread": "sample standard deviation",
        "summary": table.summary or None,
        "numbers": [asdict(number) for number in table.numbers],
        "notes": [asdict(note) for note in table.notes],
    }
    return json.dumps(content, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def inert(text: str) -> str:
    """`text` as a spreadsheet takes it for text and nothing else."""
    shown = visible(text)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown
