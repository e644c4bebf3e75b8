"""Which cells a user asks for: those of suite files, or those that a database has recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asapbench.errors import PluginError, StoreError, SuiteError
from asapbench.running.plan import current_attempts, state_of
from asapbench.running.settings import RunSettings
from asapbench.store.records import FINAL, UNFINISHED, State, SuiteRecord, db_option
from asapbench.store.store import Store
from asapbench.suite import plugins
from asapbench.suite.cell import Cell
from asapbench.suite.grid import data_of_cells
from asapbench.suite.load import load, parse, plugins_named
from asapbench.suite.plugins import lacking
from asapbench.suite.select import choose, data_path, only, relocated
from asapbench.training.settings import TrainingSettings


@dataclass(frozen=True)
class Request:
    """What to run and how, as the command line gives it."""

    db: str
    filters: Sequence[str] = ()
    changes: Sequence[str] = ()
    seeds: str | None = None
    only_states: Sequence[State] = ()
    leaves_out: bool = False
    """Cells whose data are missing are left out if others are to train; else they are an error."""
    run: RunSettings = field(default_factory=RunSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


@dataclass(frozen=True)
class Selected:
    """Cells to run under a suite's name. `text` is the content of its file `source`, if known."""

    name: str
    source: str
    cells: tuple[Cell, ...] = field(default=())
    text: str | None = None
    unreadable: tuple[str, ...] = ()
    """The labels of cells whose rule, model or data set is not installed."""
    waiting: int = 0
    """How many of these have no result and would be trained."""
    plugins: tuple[str, ...] = ()
    """Those that the database names for cells that are unreadable without them."""


def select(suites: Sequence[str], request: Request) -> list[Selected]:
    """The suite files or shipped suites that have cells the request asks for, with these. Raises SuiteError.

    Their sources are absolute paths.
    """
    loaded = [load(suite, data_path=data_path(request.changes)) for suite in suites]
    chosen = choose(
        [suite.cells for suite in loaded], filters=request.filters, settings=request.changes, seeds=request.seeds
    )
    return [
        Selected(s.name, os.path.abspath(s.source), tuple(cells), s.text)
        for s, cells in zip(loaded, chosen, strict=True)
        if cells
    ]


def recorded(
    store: Store, names: Sequence[str], request: Request, *, load_plugins: Callable[[str], None] | None = None
) -> list[Selected]:
    """The cells of suites that the database knows, all of them or those named. Raises StoreError if there is none.

    `load_plugins`: load those that its cells were recorded with on this machine, to train them; it is called with a
    message before each. Cells that cannot be read are left out, and `Selected.unreadable` has their labels. Raises
    SuiteError if a suite of `names` has no other cells, or such cells without a result, and `load_plugins` did not
    help. Discarded cells are among the others: `unfinished` leaves them out.
    """
    known = {suite.name: suite for suite in store.suites()}
    if not known:
        raise StoreError(
            f"{store.name}: nothing is recorded there yet: start with `asapbench run SUITE{db_option(store.url)}`"
        )
    found = []
    for name in names or known:
        waiting = 0
        cells, unreadable = store.readable_cells(name, with_discarded=True)
        missing = _missing_plugins(store, known[name]) if unreadable else []
        if unreadable and load_plugins is not None:
            faults = _load(missing, store, name, say=load_plugins)
            cells, unreadable = store.readable_cells(name, with_discarded=True)
            kept = [cell_id for cell_id in unreadable if cell_id not in store.discards()]
            waiting = sum(state_of(attempt) not in FINAL for attempt in store.states(kept).values())
            if name in names and unreadable and (not cells or waiting):
                fault = "; ".join(faults) or lacking(list(unreadable.values()))
                raise SuiteError(f'{store.name}: suite "{name}": {fault}')
            for fault in faults:
                load_plugins(f'{store.name}: suite "{name}": {fault}')
        suite = Selected(name, known[name].source, tuple(cells), known[name].text)
        found.append(replace(suite, unreadable=tuple(unreadable.values()), waiting=waiting, plugins=tuple(missing)))
    found = _matching(found, request.filters) if request.filters else found
    changed = {cell.id: cell for cell in relocated([cell for item in found for cell in item.cells], request.changes)}
    return [replace(item, cells=tuple(changed[cell.id] for cell in item.cells)) for item in found]


def _matching(found: Sequence[Selected], filters: Sequence[str]) -> list[Selected]:
    """The suites with cells that match. Raises SuiteError if no cell does; it names those that cannot be read."""
    try:
        kept = {cell.stored_id for cell in only([cell for item in found for cell in item.cells], filters)}
    except SuiteError as error:
        unreadable = [label for item in found for label in item.unreadable]
        raise SuiteError(f"{error}. {lacking(unreadable)}" if unreadable else str(error)) from error
    matching = [
        replace(item, cells=tuple(cell for cell in item.cells if cell.stored_id in kept), waiting=0) for item in found
    ]
    return [item for item in matching if item.cells]


def _missing_plugins(store: Store, suite: SuiteRecord) -> list[str]:
    """The plug-ins of a suite that are not loaded: those that its own file names, then those recorded with its cells.

    A cell has the plug-ins of the suite that was last run with it. Only a file that was run here has an absolute
    source: the text of a merged suite names no plug-in.
    """
    is_own = suite.text is not None and os.path.isabs(suite.source)
    own = plugins_named(suite.text or "", folder=Path(suite.source).parent) if is_own else []
    loaded = plugins.sources()
    return [one for one in dict.fromkeys([*own, *store.suite_plugins(suite.name)]) if one not in loaded]


def _load(missing: Sequence[str], store: Store, suite: str, *, say: Callable[[str], None]) -> list[str]:
    """Loads these plug-ins until the cells of the suite can be read; returns why some cannot be loaded."""
    faults = []
    for named in missing:
        if not store.readable_cells(suite, with_discarded=True)[1]:
            break
        say(f"Loading the plug-in {named}: {store.name} records that cells were run with it")
        try:
            plugins.load(named)
        except PluginError as error:
            faults.append(f"was run with a plug-in: {error}")
    return faults


def other_files(store: Store, selected: Sequence[Selected]) -> list[str]:
    """What to say of each suite whose name the database has from another file, with cells that this file lacks."""
    known = {suite.name: suite for suite in store.suites()}
    found = []
    for item in selected:
        before = known.get(item.name)
        if before is None or os.path.abspath(before.source) == os.path.abspath(item.source):
            continue
        cells = [*store.readable_cells(item.name, with_discarded=True)[0], *item.cells]
        if _groups(before.text, cells) - _groups(item.text, cells):
            ran, named = _shown(before.source), _shown(item.source)
            found.append(
                f'suite "{item.name}": another file of this name was run with other cells ({ran}). Reports '
                f"compare the cells of both with {named} and mark those of the other file as deviating. To keep "
                "them apart, give one of the files another name under [suite], or use another --db."
            )
    return found


def _shown(source: str) -> str:
    """The file of a suite, relative to the working folder if it is inside."""
    relative = os.path.relpath(source)
    return source if relative.startswith(os.pardir) else relative


def _groups(text: str | None, recorded: Sequence[Cell]) -> set[str]:
    """The groups of a suite file's cells, with the data of `recorded`; none if its text is unknown or unreadable."""
    if not text:
        return set()
    try:
        return {cell.group for cell in parse(text, source="", complete=data_of_cells(lambda: recorded)).cells}
    except SuiteError:
        return set()


def cells_of(selected: Sequence[Selected]) -> list[Cell]:
    """Each selected cell once. Raises SuiteError if there is none."""
    cells = list({cell.id: cell for item in selected for cell in item.cells}.values())
    if not cells:
        raise SuiteError("no cell was selected")
    return cells


def unfinished(store: Store, cells: Sequence[Cell], only_states: Sequence[State]) -> list[Cell]:
    """The cells that have no result yet, or those of them in `only_states`; a cell that another run trains is one.

    Discarded cells are none of them.
    """
    attempts, discarded = current_attempts(store), store.discards()
    wanted = only_states or (*UNFINISHED, "running")
    return [cell for cell in cells if cell.id not in discarded and state_of(attempts.get(cell.id)) in wanted]
