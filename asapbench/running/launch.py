"""From selected cells to a run: data checked, slots found, the suite recorded, cells trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from asapbench.running.assignment import Options
from asapbench.running.executors import admission, make_executor, planned_slots
from asapbench.running.plan import Plan, plan_cells
from asapbench.running.plugin_changes import other_plugins
from asapbench.running.preparation import checked_data, record, require_replaceable, supersede_results
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
    """
    cells = cells_of(selected)
    todo = cells if supersede else unfinished(store, cells, request.only_states)
    if supersede:
        require_replaceable(todo)
    data, datasets = checked_data(todo, request.run.data)
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
            return runner.run()
