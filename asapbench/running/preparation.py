"""What a run does before its first cell: data are checked, suites recorded, results superseded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from asapbench.data.files import data_root
from asapbench.data.lookup import check
from asapbench.paths import without_links
from asapbench.running import leases
from asapbench.running.selection import Selected, other_files
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.options import Choice
from asapbench.suite.plugins import lacking


def checked_data(cells: Sequence[Cell], named: Path | None) -> tuple[Path, list[Choice]]:
    """The folder of the data sets, and the data sets of `cells`, which are there. Raises DataError."""
    root = data_root(named)
    datasets = list({(cell.dataset, cell.dataset.local): cell.dataset for cell in cells}.values())
    for dataset in datasets:
        check(dataset, root)
    return without_links(root), datasets


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
