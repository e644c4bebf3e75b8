"""`merge`: add the content of other databases to this one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db
from asapbench.cli.text import count, printing_is_optional, say
from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from asapbench.store.records import Merged

_SHOWN = 60
"""Characters of a value that are enough to distinguish it from another."""


def merge(
    others: Annotated[list[Path], typer.Argument(metavar="OTHER", help="Database files: exports, or whole ones.")],
    db: Db = DEFAULT_URL,
) -> None:
    """Add the results of other database files to this one. Merging again changes nothing.

    Nothing is overwritten: if two databases contradict each other, the local row stays, the conflict is named, and the
    exit status is 1.

    Example: asapbench merge other.sqlite
    """
    from asapbench.escape import visible
    from asapbench.store import Store, db_option
    from asapbench.store.untrusted_import import opened

    printing_is_optional()
    with opened(others) as databases, Store.open(db) as store:
        merged = store.merge(databases)
        for file, result in zip(others, merged, strict=True):
            for line in _lines(str(file), result, options=db_option(db)):
                say(visible(line))
    if any(result.conflicts for result in merged):
        raise typer.Exit(1)


def _lines(file: str, merged: Merged, *, options: str) -> Iterator[str]:
    """What a merge did and what it left out, a line each."""
    new = [
        count(merged.cells, "new cell"),
        count(merged.attempts, "attempt"),
        count(merged.epochs, "epoch"),
        *([count(merged.angles, "angle")] if merged.angles else []),
        *([count(merged.gradient_qualities, "gradient comparison")] if merged.gradient_qualities else []),
        *([count(merged.measurements, "measurement")] if merged.measurements else []),
        *([count(merged.certificates, "certificate")] if merged.certificates else []),
        *([count(merged.suites, "suite")] if merged.suites else []),
    ]
    further = f"; {count(merged.further, 'attempt')} had come further there" if merged.further else ""
    yield f"{file}: {', '.join(new)}{further}"
    if merged.discarded:
        why = f"`asapbench list --state discarded{options}`"
        yield f"  discarded by a decision there: {count(merged.discarded, 'cell')}; {why} shows why"
    if merged.restored:
        yield f"  restored by a decision there: {count(merged.restored, 'cell')}"
    for conflict in merged.conflicts:
        whose = f", attempt {conflict.attempt_id[:12]}" if conflict.attempt_id else ""
        yield (
            f"  conflict: {conflict.label} ({conflict.cell_id[:10]}){whose}: {conflict.what} is "
            f"{_shown(conflict.ours)} here, {_shown(conflict.theirs)} there; nothing of it was added"
        )
    for found in merged.disagreements:
        came = [f"{_shown(value)} in {who[:12]}" for who, value in zip(found.attempt_ids, found.values, strict=True)]
        yield (
            f"  differs: {found.label} ({found.cell_id[:10]}): {found.what} is {came[0]} and {came[1]}, on equal "
            "code, versions and hardware; both are kept"
        )
    for cell_id in merged.in_training:
        yield (
            f"  left out: {cell_id[:10]} is being trained here, or its run died on another host: "
            "resume takes it over; merge again when it has ended"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
