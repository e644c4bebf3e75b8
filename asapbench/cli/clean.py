"""`clean`: remove checkpoints that are no longer needed."""

from __future__ import annotations

from typing import Annotated

import typer

from asapbench.cli.options import Db
from asapbench.cli.settings import FilesDir
from asapbench.cli.text import count, printing_is_optional, say, size
from asapbench.store import DEFAULT_URL


def clean(
    db: Db = DEFAULT_URL,
    files: FilesDir = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed; remove nothing.")] = False,
) -> None:
    """Remove the checkpoints of cells that are done or diverged. Results and kept weights stay."""
    from asapbench.store import Store
    from asapbench.worker.files import files_of, finished_checkpoints, remove

    with Store.read_only(db) as store:
        found = finished_checkpoints(store, files_of(store, files))
    total = sum(held for _, held in found)
    if not dry_run:
        printing_is_optional()
        for folder, _ in found:
            remove(folder)
    done = "would be removed" if dry_run else "removed"
    say(f"Checkpoints of {count(len(found), 'finished cell')} {done}: {size(total)}")
