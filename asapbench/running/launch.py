"""From what a user asks to a run: cells selected, data looked at, slots found, the suite recorded, signals minded."""

from __future__ import annotations

import importlib.util
import os
import signal
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asapbench.data.files import data_root
from asapbench.data.lookup import check
from asapbench.errors import PluginError, StoreError, SuiteError, WorkerError, install_extra
from asapbench.machine import compilers
from asapbench.machine.slots import Count, Slot, free_bytes, slots
from asapbench.paths import without_links
from asapbench.running import leases
from asapbench.running.admission import Admission
from asapbench.running.assignment import Options
from asapbench.running.executor import Executor
from asapbench.running.local_executor import LocalExecutor
from asapbench.running.plan import Plan, make_plan, state_of
from asapbench.running.runner import Runner
from asapbench.running.settings import RunSettings
from asapbench.running.view import Outcome, View
from asapbench.store.records import FINAL, State
from asapbench.store.store import Store
from asapbench.suite import plugins
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.suite.load import load, parse
from asapbench.suite.options import Choice
from asapbench.suite.select import choose, data_path, only
from asapbench.training.settings import TrainingSettings
from asapbench.worker.files import Files, files_of, size


@dataclass(frozen=True)
class Request:
    """What to run and how, as the command line gives it."""

    db: str
    filters: Sequence[str] = ()
    changes: Sequence[str] = ()
    seeds: str | None = None
    only_states: Sequence[State] = ()
    run: RunSettings = field(default_factory=RunSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


@dataclass(frozen=True)
class Selected:
    """Cells to run under a suite's name. `text` is what stands in its file `source`, as far as that is known."""

    name: str
    source: str
    cells: tuple[Cell, ...] = field(default=())
    text: str | None = None
    unreadable: tuple[str, ...] = ()


def select(suites: Sequence[str], request: Request) -> list[Selected]:
    """The suite files or shipped suites that have cells the request asks for, with these. Raises SuiteError."""
    loaded = [load(suite, data_path=data_path(request.changes)) for suite in suites]
    chosen = choose(
        [suite.cells for suite in loaded], filters=request.filters, settings=request.changes, seeds=request.seeds
    )
    return [Selected(s.name, s.source, tuple(cells), s.text) for s, cells in zip(loaded, chosen, strict=True) if cells]


def recorded(store: Store, names: Sequence[str], request: Request, *, load_plugins: bool = False) -> list[Selected]:
    """The cells of suites that the database knows, all of them or those named. Raises StoreError where it has none.

    `load_plugins`: load those that its cells were recorded with on this machine, to train them; otherwise cells that
    cannot be read without them are left out, and `Selected.unreadable` has their labels.
    """
    known = {suite.name: suite for suite in store.suites()}
    if not known:
        raise StoreError(f"{store.name}: nothing is recorded there yet: start with `asapbench run SUITE`")
    found = []
    for name in names or known:
        cells, unreadable = store.readable_cells(name)
        if unreadable and load_plugins:
            cells, unreadable = _with_plugins(store, name), []
        found.append(Selected(name, known[name].source, tuple(cells), known[name].text, tuple(unreadable)))
    if request.filters:
        kept = {cell.id for cell in only([cell for item in found for cell in item.cells], request.filters)}
        found = [replace(s, cells=tuple(cell for cell in s.cells if cell.id in kept)) for s in found]
        found = [selected for selected in found if selected.cells]
    return found


def _with_plugins(store: Store, suite: str) -> list[Cell]:
    """The cells of a suite of this database, the plug-ins loaded that it was run with. Raises SuiteError."""
    for named in store.suite_plugins(suite):
        try:
            plugins.load(named)
        except PluginError as error:
            raise SuiteError(f'{store.name}: suite "{suite}" was run with a plug-in: {error}') from error
    return store.suite_cells(suite)


def other_files(store: Store, selected: Sequence[Selected]) -> list[str]:
    """What to say of each suite whose name the database has from another file, with cells that this file lacks."""
    known = {suite.name: suite for suite in store.suites()}
    found = []
    for item in selected:
        before = known.get(item.name)
        if before is None or os.path.abspath(before.source) == os.path.abspath(item.source):
            continue
        if _groups(before.text, before.source) - _groups(item.text, item.source):
            found.append(
                f'suite "{item.name}": another file of this name was run with other cells ({before.source}). Reports '
                f"compare the cells of both with {item.source} and mark those of the other file as deviating. To keep "
                "them apart, give one of the files another name under [suite], or use another --db."
            )
    return found


def _groups(text: str | None, source: str) -> set[str]:
    """The groups of a suite file's cells; none if its text is unknown or cannot be read here."""
    try:
        return {cell.group for cell in parse(text, source=source).cells} if text else set()
    except SuiteError:
        return set()


def plan(store: Store | None, selected: Sequence[Selected], request: Request) -> Plan:
    """What is left of the selected cells, by the database if there is one."""
    return _plan(store, _cells(selected), _planned_slots(request), request.only_states)


def _plan(store: Store | None, cells: Sequence[Cell], found: Sequence[Slot], only_states: Sequence[State]) -> Plan:
    if store is None:
        whole = make_plan(cells, {}, [], found)
    else:
        states = store.states([cell.id for cell in cells])
        whole = make_plan(cells, states, store.measured_seconds_per_epoch(), found)
    return whole.only(only_states) if only_states else whole


def run(
    store: Store,
    selected: Sequence[Selected],
    request: Request,
    *,
    view: Callable[[Plan, Sequence[Slot]], View],
    supersede: bool = False,
) -> Outcome:
    """Records the suites and trains the cells without a result; `supersede`: all cells, and their results until now are
    superseded.

    Raises DataError and SuiteError, before anything is changed, where data are missing or a device is not here.
    """
    cells = _cells(selected)
    todo = cells if supersede else _todo(store, cells, request.only_states)
    if supersede:  # keep a result that cannot be measured again; in `run` and `resume` such a cell fails by itself
        for cell in todo:
            require_trainable(cell)
    root = data_root(request.run.data)
    datasets = tuple({(cell.dataset, cell.dataset.local): cell.dataset for cell in todo}.values())
    for dataset in datasets:
        check(dataset, root)
    files = files_of(store, request.run.files)
    with closing(_executor(request, files, without_links(root), datasets)) as executor:
        found = executor.slots
        the_plan = _plan(None if supersede else store, cells, found, request.only_states)
        files.make([cell.id for cell in todo], weights=request.training.keep_weights)
        said = [*other_files(store, selected), *_earlier_revisions(store, selected)]
        for item in selected:
            store.extend_suite(item.name, item.source, item.cells, text=item.text)
        the_view = view(the_plan, found)
        for line in said:
            the_view.message(line)
        store.enable_retries(the_view.message)
        if supersede:
            ids = [cell.id for cell in todo]
            leases.release(store, ids, say=the_view.message, should_stop=lambda: False, all_unseen=True)
            number = store.supersede(ids)
            the_view.message(f"earlier attempts superseded: {number}; nothing is deleted")
        options = Options(without_links(root), files, request.run, request.training)
        admission = _admission(store, found, request.run.slots)
        runner = Runner(store, todo, executor, options=options, view=the_view, admission=admission)
        with _minding_signals(runner, store):
            return runner.run()


def _earlier_revisions(store: Store, selected: Sequence[Selected]) -> Iterator[str]:
    for item in selected:
        if number := store.outdated_cells(item.name):
            yield (
                f"{item.name}: cells trained under an earlier revision of the code: {number}; their results stay in "
                "the database, reports leave them out, and the cells train again from scratch"
            )


def _todo(store: Store, cells: Sequence[Cell], only_states: Sequence[State]) -> list[Cell]:
    """The cells that have no result yet; those that a run has now are waited for."""
    attempts = store.states([cell.id for cell in cells])
    found = []
    for cell in cells:
        state = state_of(attempts[cell.id])
        if state not in FINAL and (not only_states or state in only_states):
            found.append(cell)
    return found


def _executor(request: Request, files: Files, data: Path, datasets: tuple[Choice, ...]) -> Executor:
    if request.run.executor == "ray":
        _check_for_ray()
        from asapbench.running.ray_executor import RayExecutor
        from asapbench.running.ray_node import Needs

        files.make()
        needs = Needs(files.mark(), data, datasets, tuple(plugins.sources()))
        return RayExecutor(files, needs, **_wanted(request), address=request.run.address)
    return LocalExecutor(_local_slots(request), files)


def _planned_slots(request: Request) -> Sequence[Slot]:
    """The slots that a run would have."""
    if request.run.executor == "ray":
        _check_for_ray()
        from asapbench.running.ray_executor import planned

        return planned(**_wanted(request), address=request.run.address)
    return _local_slots(request)


def _local_slots(request: Request) -> list[Slot]:
    found = slots(**_wanted(request))
    compilers.check(found, compiled=request.training.compiled, cuda_graphs=request.training.cuda_graphs)
    return found


def _wanted(request: Request) -> dict[str, Any]:
    return {"device": request.training.device, "count": request.run.slots, "threads": request.training.threads}


def _check_for_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise WorkerError(f"--executor ray needs Ray: {install_extra('ray')}")


def _admission(store: Store, found: Sequence[Slot], count: Count) -> Admission:
    """What `--slots` says; auto: as many cells as the memory that is free now has room for."""
    if count != "auto":
        return Admission()
    kind = found[0].kind
    return Admission(free_bytes(found), kind=kind, peaks=store.measured_peak_bytes(kind))


def _cells(selected: Sequence[Selected]) -> list[Cell]:
    cells = list({cell.id: cell for item in selected for cell in item.cells}.values())
    if not cells:
        raise SuiteError("no cell was selected")
    return cells


@contextmanager
def _minding_signals(runner: Runner, store: Store) -> Iterator[None]:
    """Ctrl-C, SIGTERM, a closed terminal (but under nohup) and SIGUSR1 (Slurm's, if asked) stop the run cleanly.

    A second one ends it at once.
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


def finished_checkpoints(store: Store, files: Files) -> list[tuple[Path, int]]:
    """Checkpoint directories, with their bytes, of cells whose every attempt has ended and that need none any more."""
    final = {result.attempt.cell_id[:20] for result in store.all_results() if result.attempt.state in FINAL}
    return [(folder, size(folder)) for folder in files.cells_with_checkpoints() if folder.name in final]
