"""From selected cells to a run: data checked, slots found, the suite recorded, cells trained until done or stopped."""

from __future__ import annotations

import shlex
import signal
import types
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from asapbench.data.files import data_root
from asapbench.data.lookup import located
from asapbench.errors import DataError
from asapbench.machine.known_devices import known_device
from asapbench.machine.slots import Slot
from asapbench.paths import without_links
from asapbench.running import leases
from asapbench.running.assignment import Options
from asapbench.running.device_times import DeviceTimes
from asapbench.running.executors import admission, make_executor, planned_slots
from asapbench.running.plan import Plan, plan_cells
from asapbench.running.plugin_changes import other_plugins
from asapbench.running.runner import Prune, Runner
from asapbench.running.selection import Request, Selected, cells_of, other_files, unfinished
from asapbench.running.sinks.feed import Feeds
from asapbench.running.view import Outcome, View
from asapbench.store.records import db_option
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.options import Choice
from asapbench.suite.plugins import lacking
from asapbench.worker.files import files_of


def plan(store: Store | None, selected: Sequence[Selected], request: Request, *, supersede: bool = False) -> Plan:
    """What a run would train of the selected cells; without a database, or with `supersede`, all of them.

    On the slots that a run would have here, or on a known device that is named in the place of one.
    """
    cells, training = cells_of(selected), request.training
    if (device := known_device(training.device)) is None:
        return plan_cells(store, cells, planned_slots(request.run, training), request.only_states, again=supersede)
    number = request.run.slots if isinstance(request.run.slots, int) else 1
    slots = [Slot(place, "cuda") for place in range(number)]
    times = partial(DeviceTimes, device, training=training)
    return plan_cells(store, cells, slots, request.only_states, again=supersede, times_of=times)


def notices(store: Store, selected: Sequence[Selected], request: Request, *, supersede: bool) -> list[str]:
    """What the user should know, before a run, of results that the database already has."""
    found = [*other_files(store, selected), *_earlier_revisions(store, selected)]
    if supersede:
        return found
    files = files_of(store, request.run.files)
    return [*found, *_discarded(store, selected), *other_plugins(store, selected, files)]


def run(
    store: Store,
    selected: Sequence[Selected],
    request: Request,
    *,
    view: View,
    supersede: bool = False,
    prune: Prune = lambda _cell, _epochs: None,
) -> Outcome:
    """Record the suites and train the cells without a result; `supersede`: all cells, superseding their results.

    `prune` is asked after each epoch; a cell that it ends is discarded with its reason.

    Raises DataError, SuiteError and SinkError, before anything is changed, where data are missing, or a device or a
    sink cannot be used.
    With `request.leaves_out`, cells whose data are missing are left out, if there are others.
    """
    cells = cells_of(selected)
    todo = cells if supersede else unfinished(store, cells, request.only_states)
    if supersede:
        for cell in todo:  # else its result could not be measured again
            require_trainable(cell)
    root = data_root(request.run.data)
    selected, todo, left_out = _with_data(store, selected, todo, root, leaves_out=request.leaves_out)
    cells, data = cells_of(selected), without_links(root)
    datasets = list({_data_of(cell): cell.dataset for cell in todo}.values())
    files = files_of(store, request.run.files)
    with closing(make_executor(request.run, request.training, files=files, data=data, datasets=datasets)) as executor:
        slots = executor.slots
        the_plan = plan_cells(store, cells, slots, request.only_states, again=supersede)
        files.make([cell.id for cell in todo], weights=request.training.keep_weights)
        found = notices(store, selected, request, supersede=supersede)
        found += [f"{item.name}: {lacking(item.unreadable)}" for item in selected if item.unreadable]
        found += [f"cells left out ({number}): {fault}" for fault, number in left_out.items()]
        sinks = Feeds(request.run)
        for item in selected:
            store.record_suite(item.name, item.source, item.cells, text=item.text)
        view.begin(the_plan, slots)
        for line in found:
            view.message(line)
        store.enable_retries(view.message)
        if supersede:
            _supersede_results(store, todo, say=view.message)
        options = Options(data, files, request.run, request.training)
        allowed = admission(store, slots, request.run)
        runner = Runner(store, todo, executor, options=options, view=view, admission=allowed, sinks=sinks, prune=prune)
        with _stopped_by_signals(runner, store):
            sinks.start(store, cells)
            outcome = runner.run()
        not_installed = "its rule, model or data set is not installed; --plugin loads one"
        waiting = {f"{item.name}: {not_installed}": item.waiting for item in selected if item.waiting}
        outcome.left_out = left_out | waiting
        return outcome


def _with_data(
    store: Store, selected: Sequence[Selected], todo: Sequence[Cell], root: Path, *, leaves_out: bool
) -> tuple[list[Selected], list[Cell], dict[str, int]]:
    """`selected` and `todo` with the places of their data; without cells whose data are missing, counted by the fault.

    Own data are also found where the database knows the same content. Raises DataError where data of `todo` are
    missing, unless `leaves_out` and there are others.
    """
    found: dict[object, Choice] = {}
    faults: dict[object, str] = {}
    for key, cell in {_data_of(cell): cell for cell in todo}.items():
        try:
            found[key] = located(cell.dataset, root, store.data_sets)
        except DataError as error:
            faults[key] = str(error)
    if faults and not (leaves_out and found):
        raise DataError(next(iter(faults.values())))
    missing = {cell.id: faults[_data_of(cell)] for cell in todo if _data_of(cell) in faults}
    placed = {cell.id: replace(cell, dataset=found[_data_of(cell)]) for cell in todo if cell.id not in missing}
    kept = [
        replace(item, cells=tuple(placed.get(cell.id, cell) for cell in item.cells if cell.id not in missing))
        for item in selected
    ]
    return kept, list(placed.values()), dict(Counter(missing.values()))


def _data_of(cell: Cell) -> object:
    """The data of a cell and their place."""
    return cell.dataset, cell.dataset.local


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


def _discarded(store: Store, selected: Sequence[Selected]) -> Iterator[str]:
    discarded, option = store.discards(), db_option(store.url)
    for item in selected:
        if number := sum(cell.id in discarded for cell in item.cells):
            reasons = f"`asapbench list {shlex.quote(item.name)} --state discarded{option}`"
            yield (
                f"{item.name}: discarded cells that are not trained: {number}; {reasons} shows why, "
                f"`asapbench restore CELL{option}` restores one, rerun trains it again"
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
