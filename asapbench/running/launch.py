"""From selected cells to a run: data checked, slots found, the suite recorded, cells trained until done or stopped."""

from __future__ import annotations

import signal
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from asapbench.data.files import data_root
from asapbench.data.lookup import located
from asapbench.errors import DataError
from asapbench.paths import without_links
from asapbench.running import leases
from asapbench.running.assignment import Options
from asapbench.running.executors import admission, make_executor, planned_slots
from asapbench.running.plan import Plan, plan_cells
from asapbench.running.plugin_changes import other_plugins
from asapbench.running.runner import Runner
from asapbench.running.selection import Request, Selected, cells_of, other_files, unfinished
from asapbench.running.view import Outcome, View
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.options import Choice
from asapbench.suite.plugins import lacking
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
        for cell in todo:  # else its result could not be measured again
            require_trainable(cell)
    root = data_root(request.run.data)
    todo, missing = _with_data(store, todo, root)
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
        notices = _record(store, selected)
        if not supersede:
            notices += other_plugins(store, selected, files)
        view.begin(the_plan, slots)
        for line in notices:
            view.message(line)
        store.enable_retries(view.message)
        if supersede:
            _supersede_results(store, todo, say=view.message)
        options = Options(data, files, request.run, request.training)
        allowed = admission(store, slots, request.run)
        runner = Runner(store, todo, executor, options=options, view=view, admission=allowed)
        with _stopped_by_signals(runner, store):
            outcome = runner.run()
        outcome.left_out = {fault: len(others) for fault, others in missing.items()}
        return outcome


def _with_data(store: Store, cells: Sequence[Cell], root: Path) -> tuple[list[Cell], dict[str, list[Cell]]]:
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


def _record(store: Store, selected: Sequence[Selected]) -> list[str]:
    """Record the suites; returns what the user should know of suites that the database already has."""
    notices = [*other_files(store, selected), *_earlier_revisions(store, selected)]
    notices += [f"{item.name}: {lacking(item.unreadable)}" for item in selected if item.unreadable]
    for item in selected:
        store.record_suite(item.name, item.source, item.cells, text=item.text)
    return notices


def _supersede_results(store: Store, cells: Sequence[Cell], *, say: Callable[[str], None]) -> None:
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


@contextmanager
def _stopped_by_signals(runner: Runner, store: Store) -> Iterator[None]:
    """While the context is open: Ctrl-C, SIGTERM, a closed terminal (except under nohup) and SIGUSR1 (Slurm's)
    stop `runner` cleanly; a second signal ends it at once.
    """
    received = 0

    def stop(_number: int, _frame: types.FrameType | None) -> None:
        nonlocal received
        received += 1
        runner.request_stop("signal")
        if received > 1:
            store.give_up()

    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)  # started by nohup: a closed terminal does not stop it
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
