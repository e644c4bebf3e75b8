"""From what a user asks to a run: cells selected, data looked at, slots found, the suite recorded, signals minded."""

from __future__ import annotations

import importlib.util
import signal
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asapbench.data.files import check, data_root
from asapbench.errors import StoreError, SuiteError, WorkerError
from asapbench.scheduling.executor import Executor
from asapbench.scheduling.files import Files, size
from asapbench.scheduling.plan import Plan, make_plan
from asapbench.scheduling.process import LocalExecutor
from asapbench.scheduling.runner import Options, Outcome, Runner, View
from asapbench.scheduling.slots import Slot, slots
from asapbench.store.records import FINAL
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.options import Choice
from asapbench.suite.select import only, with_seeds, with_settings

ExecutorName = Literal["local", "ray"]


@dataclass(frozen=True)
class Request:
    """What to run and how, as the command line gives it."""

    db: str
    filters: Sequence[str] = ()
    settings: Sequence[str] = ()
    seeds: str | None = None
    data: Path | None = None
    device: str = "auto"
    slots: int | None = None
    threads: int = 1
    executor: ExecutorName = "local"
    address: str | None = None
    time_limit: float | None = None
    checkpoint_seconds: float = 120.0
    keep_weights: bool = False
    alignment: bool = False
    fail_fast: bool = False
    deterministic: bool = True


@dataclass(frozen=True)
class Selected:
    """Cells to run under a suite's name."""

    name: str
    source: str
    cells: tuple[Cell, ...] = field(default=())


def select(suite: str, request: Request) -> Selected:
    """The cells of a suite file or shipped suite that the request asks for. Raises SuiteError."""
    loaded = load(suite)
    cells = with_settings(only(loaded.cells, request.filters), request.settings)
    if request.seeds is not None:
        cells = with_seeds(cells, request.seeds)
    return Selected(loaded.name, loaded.source, tuple(cells))


def recorded(store: Store, names: Sequence[str], request: Request) -> list[Selected]:
    """The cells of suites that the database knows, all of them or those named. Raises StoreError where it has none."""
    known = {suite.name: suite for suite in store.suites()}
    if not known:
        raise StoreError(f"{store.name}: nothing is recorded there yet: start with `asapbench run SUITE`")
    found = []
    for name in names or known:
        cells = store.suite_cells(name)
        found.append(Selected(name, known[name].source, tuple(cells)))
    if request.filters:
        kept = {cell.id for cell in only([cell for item in found for cell in item.cells], request.filters)}
        found = [Selected(s.name, s.source, tuple(c for c in s.cells if c.id in kept)) for s in found]
    return found


def plan(store: Store | None, selected: Sequence[Selected], request: Request) -> Plan:
    """What is left of the selected cells, by the database if there is one."""
    return _plan(store, _cells(selected), _planned_slots(request))


def _plan(store: Store | None, cells: Sequence[Cell], found: Sequence[Slot]) -> Plan:
    if store is None:
        return make_plan(cells, {}, [], found)
    states = store.states([cell.id for cell in cells])
    return make_plan(cells, states, store.measured_seconds_per_epoch(), found)


def run(
    store: Store,
    selected: Sequence[Selected],
    request: Request,
    *,
    view: Callable[[Plan, Sequence[Slot]], View],
    set_aside: bool = False,
) -> Outcome:
    """Records the suites and trains what is left; `set_aside`: all of it anew, superseding the results there are.

    Raises DataError and SuiteError, before anything is changed, where data are missing or a device is not here.
    """
    cells = _cells(selected)
    root = data_root(request.data).resolve()
    files = files_of(store)
    todo = cells if set_aside else _unfinished(store, cells)
    datasets = tuple(dict.fromkeys(cell.dataset for cell in todo))
    for dataset in datasets:
        check(dataset, root)
    with closing(_executor(request, files, root, datasets)) as executor:
        the_plan = _plan(None if set_aside else store, cells, executor.slots)
        for item in selected:
            _record(store, item)
        the_view = view(the_plan, executor.slots)
        if set_aside:
            store.release_dead()
            number = store.supersede([cell.id for cell in todo])
            the_view.message(f"earlier attempts set aside: {number}; nothing is deleted")
        options = Options(
            data=root,
            files=files,
            checkpoint_seconds=request.checkpoint_seconds,
            keep_weights=request.keep_weights,
            alignment=request.alignment,
            deterministic=request.deterministic,
            fail_fast=request.fail_fast,
            time_limit=request.time_limit,
        )
        runner = Runner(store, todo, executor, options=options, view=the_view)
        with _minding_signals(runner):
            return runner.run()


def _unfinished(store: Store, cells: Sequence[Cell]) -> list[Cell]:
    states = store.states([cell.id for cell in cells])
    return [cell for cell in cells if (attempt := states[cell.id]) is None or attempt.state not in FINAL]


def _executor(request: Request, files: Files, data: Path, datasets: tuple[Choice, ...]) -> Executor:
    if request.executor == "ray":
        _check_for_ray()
        from asapbench.scheduling.ray_executor import RayExecutor
        from asapbench.scheduling.ray_node import Needs

        needs = Needs(files.mark(), data, datasets)
        return RayExecutor(files, needs, **_wanted(request), address=request.address)
    return LocalExecutor(slots(**_wanted(request)), files)


def _planned_slots(request: Request) -> list[Slot]:
    """The slots that a run would have."""
    if request.executor == "ray":
        _check_for_ray()
        from asapbench.scheduling.ray_executor import planned

        return planned(**_wanted(request), address=request.address)
    return slots(**_wanted(request))


def _wanted(request: Request) -> dict[str, Any]:
    return {"device": request.device, "count": request.slots, "threads": request.threads}


def _check_for_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise WorkerError('--executor ray needs Ray: pip install "asapbench[ray]"')


def files_of(store: Store) -> Files:
    """Where this database's checkpoints, weights and logs are."""
    if store.path is None:
        return Files(Path("results/asapbench.sqlite.files").resolve())
    return Files.beside(store.path)


def _record(store: Store, selected: Selected) -> None:
    """A suite's list grows by what was asked for, so that `resume` forgets nothing."""
    known: dict[str, Cell] = {}
    if any(suite.name == selected.name for suite in store.suites()):
        known = {cell.id: cell for cell in store.suite_cells(selected.name)}
    merged = known | {cell.id: cell for cell in selected.cells}
    store.record_suite(selected.name, selected.source, list(merged.values()))


def _cells(selected: Sequence[Selected]) -> list[Cell]:
    cells = list({cell.id: cell for item in selected for cell in item.cells}.values())
    if not cells:
        raise SuiteError("no cell was selected")
    return cells


@contextmanager
def _minding_signals(runner: Runner) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal stop the run cleanly; a second one at once."""

    def stop(_number: int, _frame: types.FrameType | None) -> None:
        runner.request_stop("signal")

    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
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
