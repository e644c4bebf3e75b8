"""From selected cells to a run: data checked, slots found, the suite recorded, cells trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from asapbench.data.files import data_root
from asapbench.errors import DataError
from asapbench.paths import without_links
from asapbench.running.assignment import Options
from asapbench.running.executors import admission, make_executor, planned_slots
from asapbench.running.plan import Plan, plan_cells
from asapbench.running.plugin_changes import other_plugins
from asapbench.running.preparation import record, require_replaceable, supersede_results, with_data
from asapbench.running.runner import Runner
from asapbench.running.selection import Request, Selected, cells_of, unfinished
from asapbench.running.signals import stopped_by_signals
from asapbench.running.view import Outcome, View
from asapbench.store.store import Store
from asapbench.worker.files import files_of


def plan(store: Store | None, selected: Sequence[Selected], request: Request) -> Plan:
    """What a run would train of the selected cells; without a database, all of them."""
    return plan_cells(store, cells_of(selected), planned_slots(request.run, request.training), request.only_states)


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
    With `request.leaves_out`, cells whose data are missing are left out, if there are others.
    """
    cells = cells_of(selected)
    todo = cells if supersede else unfinished(store, cells, request.only_states)
    if supersede:
        require_replaceable(todo)
    root = data_root(request.run.data)
    todo, missing = with_data(store, todo, root)
    if missing and not (request.leaves_out and todo):
        raise DataError(next(iter(missing)))
    left_out = {cell.id for others in missing.values() for cell in others}
    cells = [cell for cell in cells if cell.id not in left_out]
    placed = {cell.id: cell for cell in todo}
    selected = [replace(item, cells=tuple(placed.get(cell.id, cell) for cell in item.cells)) for item in selected]
    data = without_links(root)
    datasets = list({(cell.dataset, cell.dataset.local): cell.dataset for cell in todo}.values())
    files = files_of(store, request.run.files)
    with closing(make_executor(request.run, request.training, files=files, data=data, datasets=datasets)) as executor:
        slots = executor.slots
        the_plan = plan_cells(None if supersede else store, cells, slots, request.only_states)
        files.make([cell.id for cell in todo], weights=request.training.keep_weights)
        notices = record(store, selected)
        if not supersede:
            notices += other_plugins(store, selected, files)
        view.begin(the_plan, slots)
        for line in notices:
            view.message(line)
        store.enable_retries(view.message)
        if supersede:
            supersede_results(store, todo, say=view.message)
        options = Options(data, files, request.run, request.training)
        allowed = admission(store, slots, request.run)
        runner = Runner(store, todo, executor, options=options, view=view, admission=allowed)
        with stopped_by_signals(runner, store):
            outcome = runner.run()
        outcome.left_out = {fault: len(others) for fault, others in missing.items()}
        return outcome
