"""`export`: write chosen results to a new file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db, Only, with_measured
from asapbench.cli.text import count, printing_is_optional, say, size
from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from asapbench.store import Store


@with_measured
def export(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The file to write: a database (.sqlite, .sqlite3, .db) or a table (.csv, .json)."
        ),
    ],
    suites: Annotated[
        list[str] | None, typer.Argument(metavar="SUITE", help="Suites that the database knows. [default: all]")
    ] = None,
    only: Only = None,
    anonymous: Annotated[
        bool,
        typer.Option("--anonymous", help="Blank host, process, errors, logs and reasons; hardware and versions stay."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE where it exists.")] = False,
    db: Db = DEFAULT_URL,
) -> None:
    """Write chosen cells to a new database file, or to a table.

    The file contains every attempt and epoch; `asapbench merge` adds it to another database. A name that ends in .csv
    or .json produces a plain table instead: the current result of each cell, with the commit, versions and hardware
    that it ran on. Checkpoints and kept weights are not exported.

    Example: asapbench export results.sqlite quickstart
    """
    from asapbench.report.cells import asks_for_table, write_cells
    from asapbench.store import Store
    from asapbench.suite.plugins import lacking

    printing_is_optional()
    is_table = asks_for_table(file)
    with Store.read_only(db) as store:
        if is_table:
            number = write_cells(file, store, suites=suites or (), filters=only or (), anonymous=anonymous, force=force)
            say(f"{file}: {count(number, 'cell')}")
            _say_discarded(store, suites or (), only or ())
            if unreadable := store.unreadable_cells():
                say(lacking([f"cell {cell_id[:10]}" for cell_id in unreadable]))
            return
        held = store.export(file, suites=suites or (), filters=only or (), anonymous=anonymous, force=force)
    say(
        f"{file}: {count(held.cells, 'cell')}, {count(held.attempts, 'attempt')}, "
        f"{count(held.epochs, 'epoch')}, {size(file.stat().st_size)}"
    )


def _say_discarded(store: Store, suites: Sequence[str], only: Sequence[str]) -> None:
    """Says how many discarded cells a table leaves out."""
    from asapbench.report.listing import passing
    from asapbench.report.recorded import discarded_note
    from asapbench.store import db_option

    rows = passing(store.listed(suites), only) if store.discards() else []
    number = sum(row.state == "discarded" for row in rows)
    for note in discarded_note(number, suites=suites):
        say(f"{note.text} {note.commands[0]}{db_option(store.url)}")
