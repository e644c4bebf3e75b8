"""`discard` and `restore`: leave results out of every report, and take them in again. Nothing is deleted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from asapbench.cli.options import Db, Only
from asapbench.cli.text import count, say
from asapbench.cli.upgrade import say_upgraded
from asapbench.escape import visible
from asapbench.store import DEFAULT_URL

if TYPE_CHECKING:
    from asapbench.store import Store
    from asapbench.store.listing import Listed

_SHOWN = 10

Cells = Annotated[list[str] | None, typer.Argument(metavar="CELL", help="The first digits of cells' identities.")]
Suites = Annotated[
    list[str] | None,
    typer.Option("--suite", metavar="SUITE", help="Cells of this suite, or those that match --only. Repeatable."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, where --only or --suite chooses several cells.")]


def discard(
    cells: Cells = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why: lists and `show` print it.")] = "",
    only: Only = None,
    suite: Suites = None,
    yes: Yes = False,
    db: Db = DEFAULT_URL,
) -> None:
    """Leave results out of every report. Nothing is deleted: `asapbench restore` takes them in again.

    Runs do not train a discarded cell; `asapbench rerun` does, and then its new result counts.

    Example: asapbench discard 744498a257 --reason "wrong learning rate"
    """
    from asapbench.errors import SuiteError
    from asapbench.store import Store, db_option

    if not reason.strip():
        raise SuiteError('discard: say why with --reason, as in --reason "wrong learning rate"')
    _require_one_choice(cells or (), only=only or (), suites=suite or (), command="discard")
    with Store.existing(db, cells=cells or ()) as store:
        say_upgraded(store)
        store.release_dead()
        chosen = _chosen(store, cells or (), only=only or (), suites=suite or (), command="discard")
        known = store.discards()
        new = [row for row in chosen if row.cell_id not in known]
        for row in chosen:
            if row.cell_id in known:
                say(f"{row.short} is discarded already ({visible(known[row.cell_id].reason or 'no reason given')})")
        if not _agreed("Discard", new, cells or (), yes=yes):
            raise typer.Exit(2)
        store.discard([row.cell_id for row in new], reason.strip())
        _print("discarded", new, store)
    if new:
        one = len(new) == 1
        names = " ".join(row.short for row in new[:_SHOWN]) if len(new) <= _SHOWN else "CELL..."
        say(
            f"Reports leave {'it' if one else 'them'} out; nothing is deleted. To undo: "
            f"asapbench restore {names}{db_option(db)}"
        )


def restore(
    cells: Cells = None, only: Only = None, suite: Suites = None, yes: Yes = False, db: Db = DEFAULT_URL
) -> None:
    """Take discarded results into reports again.

    Example: asapbench restore 744498a257
    """
    from asapbench.store import Store

    _require_one_choice(cells or (), only=only or (), suites=suite or (), command="restore")
    with Store.existing(db, cells=cells or ()) as store:
        say_upgraded(store)
        chosen = _chosen(store, cells or (), only=only or (), suites=suite or (), command="restore")
        known = store.discards()
        for row in chosen:
            if row.cell_id not in known and cells:
                say(f"{row.short} is not discarded")
        found = [row for row in chosen if row.cell_id in known]
        if not _agreed("Restore", found, cells or (), yes=yes):
            raise typer.Exit(2)
        store.restore([row.cell_id for row in found])
        _print("restored", found, store)


def _require_one_choice(named: Sequence[str], *, only: Sequence[str], suites: Sequence[str], command: str) -> None:
    from asapbench.errors import SuiteError

    if bool(named) == bool(only or suites):
        given = "not both" if named else "as `asapbench list` shows them"
        raise SuiteError(f"{command}: name cells, {given}; or choose cells with --only, as in --only rule=asap")


def _chosen(
    store: Store, named: Sequence[str], *, only: Sequence[str], suites: Sequence[str], command: str
) -> list[Listed]:
    """The cells that are named, or those that filters choose; of these, `restore` takes the discarded ones."""
    from asapbench.report.listing import passing

    if named:
        wanted = dict.fromkeys(store.find_cell_id(prefix) for prefix in named)
        rows = {row.cell_id: row for row in store.listed()}
        return [rows[cell_id] for cell_id in wanted]
    rows_of = passing(store.listed(suites), only)
    found = [row for row in rows_of if (row.state == "discarded") == (command == "restore")]
    if rows_of and not found:
        which = "none is discarded" if command == "restore" else "all are discarded already"
        say(f"Cells that match: {len(rows_of)}; {which}.")
    return found


def _agreed(verb: str, rows: Sequence[Listed], named: Sequence[str], *, yes: bool) -> bool:
    """Whether to do it: asks where filters have chosen several cells. Raises SuiteError where nobody can answer."""
    from asapbench.errors import SuiteError

    if yes or named or len(rows) < 2:
        return True
    if not sys.stdin.isatty():
        raise SuiteError(f"{count(len(rows), 'cell')} match: add --yes to {verb.lower()} all of them")
    return typer.confirm(f"{verb} {count(len(rows), 'cell')}?")


def _print(done: str, rows: Sequence[Listed], store: Store) -> None:
    labels = store.labels([row.cell_id for row in rows[:_SHOWN]])
    for row in rows[:_SHOWN]:
        say(f"{done}: {labels[row.cell_id]} ({row.short})")
    if more := len(rows) - _SHOWN:
        say(f"... and {count(more, 'more cell')}") if more > 0 else None
    if not rows:
        say(f"{done}: no cell")
