"""From selected cells to a run: data checked, slots found, the suite recorded, cells trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from asapbench.data.files import data_root
from asapbench.data.lookup import check
from asapbench.machine.slots import Slot
from asapbench.paths import without_links
from asapbench.running import leases
from asapbench.running.assignment import Options
from asapbench.running.executors import admission, make_executor, planned_slots
from asapbench.running.plan import Plan, make_plan
from asapbench.running.runner import Runner
from asapbench.running.selection import Request, Selected, cells_of, other_files, unfinished
from asapbench.running.signals import stopped_by_signals
from asapbench.running.view import Outcome, View
from asapbench.store.records import State
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.options import Choice
from asapbench.worker.files import files_of


def plan(store: Store | None, selected: Sequence[Selected], request: Request) -> Plan:
    """What a run would train of the selected cells; without a database, all of them."""
    return plan_cells(store, cells_of(selected), planned_slots(request.run, request.training), request.only_states)


def plan_cells(
    store: Store | None, cells: Sequence[Cell], slots: Sequence[Slot], only_states: Sequence[State] = ()
) -> Plan:
    """The plan of these cells on these slots."""
    if store is None:
        whole = make_plan(cells, {}, [], slots)
    else:
        states = store.states([cell.id for cell in cells])
        whole = make_plan(cells, states, store.measured_seconds_per_epoch(), slots)
    return whole.only(only_states) if only_states else whole


def run(
    store: Store,
    selected: Sequence[Selected],
    request: Request,
    *,
    view: View,
    supersede: bool = False,
) -> Outcome:
    """Record the suites and train the cells without a result; `supersede`: all cells, superseding their results.

    Raises DataError and SuiteError, before anything is changed, where data are missing or a device is not here.
    """
    cells = cells_of(selected)
    todo = cells if supersede else unfinished(store, cells, request.only_states)
    if supersede:  # keep a result that cannot be measured again; in `run` and `resume` such a cell fails by itself
        for cell in todo:
            require_trainable(cell)
    data, datasets = _checked_data(todo, request.run.data)
    files = files_of(store, request.run.files)
    with closing(make_executor(request.run, request.training, files=files, data=data, datasets=datasets)) as executor:
        slots = executor.slots
        the_plan = plan_cells(None if supersede else store, cells, slots, request.only_states)
        files.make([cell.id for cell in todo], weights=request.training.keep_weights)
        notices = [*other_files(store, selected), *_earlier_revisions(store, selected)]
        for item in selected:
            store.extend_suite(item.name, item.source, item.cells, text=item.text)
        view.begin(the_plan, slots)
        for line in notices:
            view.message(line)
        store.enable_retries(view.message)
        if supersede:
            _supersede(store, todo, view)
        options = Options(data, files, request.run, request.training)
        allowed = admission(store, slots, request.run)
        runner = Runner(store, todo, executor, options=options, view=view, admission=allowed)
        with stopped_by_signals(runner, store):
            return runner.run()


def _checked_data(cells: Sequence[Cell], named: Path | None) -> tuple[Path, list[Choice]]:
    """The folder of the data sets, and the data sets of `cells`, which are there. Raises DataError."""
    root = data_root(named)
    datasets = list({(cell.dataset, cell.dataset.local): cell.dataset for cell in cells}.values())
    for dataset in datasets:
        check(dataset, root)
    return without_links(root), datasets


def _earlier_revisions(store: Store, selected: Sequence[Selected]) -> Iterator[str]:
    for item in selected:
        if number := store.outdated_cells(item.name):
            yield (
                f"{item.name}: cells trained under an earlier revision of the code: {number}; their results stay in "
                "the database, reports leave them out, and the cells train again from scratch"
            )


def _supersede(store: Store, cells: Sequence[Cell], view: View) -> None:
    ids = [cell.id for cell in cells]
    leases.release(store, ids, say=view.message, should_stop=lambda: False, all_unseen=True)
    view.message(f"earlier attempts superseded: {store.supersede(ids)}; nothing is deleted")
