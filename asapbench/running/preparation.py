"""What a run does before its first cell: data are checked, suites recorded, results superseded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from asapbench.data.lookup import located
from asapbench.errors import DataError
from asapbench.running import leases
from asapbench.running.selection import Selected, other_files
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.options import Choice
from asapbench.suite.plugins import lacking


def with_data(store: Store, cells: Sequence[Cell], root: Path) -> tuple[list[Cell], dict[str, list[Cell]]]:
    """The cells whose data are there, with the place of these, and the other cells by what is wrong with their data.

    Own data are also found where the database knows the same content.
    """
    found: dict[object, Choice | str] = {}
    there: list[Cell] = []
    others: dict[str, list[Cell]] = {}
    for cell in cells:
        key = cell.dataset, cell.dataset.local
        if key not in found:
            try:
                found[key] = located(cell.dataset, root, store.data_sets)
            except DataError as error:
                found[key] = str(error)
        dataset = found[key]
        if isinstance(dataset, str):
            others.setdefault(dataset, []).append(cell)
        else:
            there.append(replace(cell, dataset=dataset) if dataset.local != cell.dataset.local else cell)
    return there, others


def require_replaceable(cells: Sequence[Cell]) -> None:
    """Raises SuiteError for a cell that cannot be trained: its result could not be measured again."""
    for cell in cells:
        require_trainable(cell)


def record(store: Store, selected: Sequence[Selected]) -> list[str]:
    """Record the suites; returns what the user should know of suites that the database already has."""
    notices = [*other_files(store, selected), *_earlier_revisions(store, selected)]
    notices += [f"{item.name}: {lacking(item.unreadable)}" for item in selected if item.unreadable]
    for item in selected:
        store.extend_suite(item.name, item.source, item.cells, text=item.text)
    return notices


def supersede_results(store: Store, cells: Sequence[Cell], *, say: Callable[[str], None]) -> None:
    """Supersede every attempt of `cells`, after those of runs that have died are ended."""
    ids = [cell.id for cell in cells]
    leases.release(store, ids, say=say, should_stop=lambda: False, all_unseen=True)
    say(f"earlier attempts superseded: {store.supersede(ids)}; nothing is deleted")


def _earlier_revisions(store: Store, selected: Sequence[Selected]) -> Iterator[str]:
    for item in selected:
        if number := store.outdated_cells(item.name):
            yield (
                f"{item.name}: cells trained under an earlier revision of the code: {number}; their results stay in "
                "the database, reports leave them out, and the cells train again from scratch"
            )
