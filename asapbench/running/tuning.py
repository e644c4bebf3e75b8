"""`asapbench tune`: trials in rounds, then the finals of each rule's best trial beside the suite's published settings.

A trial is a cell like any other. The database lists the trials of a suite under a name of their own, in the order in
which they were asked for, and so the finals: what comes next follows from these lists and the results.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from asapbench.analysis.sampling import first_points, next_trials, pruned_after
from asapbench.analysis.trials import Trial, best_of, is_complete, search_of, trials_of
from asapbench.errors import SuiteError
from asapbench.metrics import EpochMetrics
from asapbench.running.launch import run
from asapbench.running.runner import Prune
from asapbench.running.selection import Request, Selected
from asapbench.running.view import Outcome, View
from asapbench.store.records import FINAL
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import Suite
from asapbench.suite.select import choose
from asapbench.suite.tuning import Study, Tuning, conflicts, finals_name, studies, trials_name

OpenView = Callable[[], AbstractContextManager[View]]
Known = Mapping[Study, Sequence[tuple[Cell, Trial]]]
"""The recorded trials of each study, in the order in which they were asked for."""


@dataclass(frozen=True)
class Search:
    """A suite with the studies that the user asks for, and the published cells of these."""

    suite: Suite
    tuning: Tuning
    studies: tuple[Study, ...]

    @property
    def published(self) -> tuple[Cell, ...]:
        """The suite's own cells of these studies."""
        return tuple(cell for study in self.of(1) for cell in study.published_cells)

    def of(self, number: int) -> list[Study]:
        """The studies of this number."""
        return [study for study in self.studies if study.number == number]

    @property
    def numbers(self) -> range:
        """The numbers of the studies of each rule."""
        return range(1, self.tuning.studies + 1)

    @property
    def source(self) -> str:
        """The suite's file, an absolute path."""
        return os.path.abspath(self.suite.source)


@dataclass(frozen=True)
class Phase:
    """What trains together. `ended` counts the trials of all studies that have ended, of `trials` by study.

    `best` has the best trial of each study whose trials have all ended, when the finals begin: None where none has a
    result.
    """

    kind: Literal["trials", "finals"]
    selected: tuple[Selected, ...]
    ended: int
    trials: Mapping[Study, int]
    prune: Prune
    best: tuple[tuple[Study, Trial | None], ...] = ()


def search(suite: Suite, request: Request, *, trials: int | None = None) -> Search:
    """The search of `suite` for the cells that the request asks for, with `trials` in place of its own number.

    Raises SuiteError where it has no `[tune]`, or these cells cannot be tuned.
    """
    if suite.tuning is None:
        raise SuiteError(f"{suite.source}: it has no [tune]: add one with trials, validation and space, or use `run`")
    tuning = suite.tuning if trials is None else replace(suite.tuning, trials=trials)
    [cells] = choose([suite.cells], filters=request.filters, settings=request.changes, seeds=request.seeds)
    for _, fault in conflicts(tuning, cells):
        raise SuiteError(f"{suite.source}: with these options it cannot be tuned: {fault}")
    return Search(suite, tuning, tuple(studies(tuning, cells)))


def tune(
    store: Store, wanted: Search, request: Request, *, open_view: OpenView, announce: Callable[[Phase], None]
) -> Outcome:
    """Train what is left of the trials and the published cells, then the finals of each study that is complete.

    `announce` is called before each phase. Raises SuiteError if the database has trials of another search under the
    suite's name; else as `launch.run`.
    """
    _require_same_search(store, wanted)
    deadline = None if request.run.time_limit is None else time.monotonic() + request.run.time_limit
    whole = Outcome()
    for phase in _phases(store, wanted):
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            whole.reason = "time limit"
            break
        announce(phase)
        if not phase.selected:  # no study has finals, and the published cells have failed
            continue
        with open_view() as view:
            settings = replace(request.run, time_limit=left)
            part = run(store, phase.selected, replace(request, run=settings), view=view, prune=phase.prune)
        _add(whole, part)
        if whole.reason != "finished":
            break
    return whole


def _phases(store: Store, wanted: Search) -> Iterator[Phase]:
    """What to train next, until nothing is left. A cell that failed is not tried twice."""
    tried = set[str]()
    published = Selected(wanted.suite.name, wanted.source, wanted.published, wanted.suite.text)
    while True:
        known = {study: trials_of(store, wanted.suite.name, study) for study in wanted.studies}
        asked = {study: next_trials(study, [trial for _, trial in trials]) for study, trials in known.items()}
        numbers = {study: max(study.tuning.trials, len(trials)) for study, trials in known.items()}
        trials = [_of_trials(wanted, number, known, asked) for number in wanted.numbers]
        ended = sum(trial.end != "waiting" for found in known.values() for _, trial in found)
        new = {cell.id for item in trials for cell in item.cells} - tried
        if new <= _ended(store, new):
            break
        selected = _without_failed(store, [*trials, published], tried)
        tried |= {cell.id for item in selected for cell in item.cells}
        yield Phase("trials", selected, ended, numbers, _pruning(known, asked))
    found = {study: [trial for _, trial in trials] for study, trials in known.items()}
    best = {study: best_of(trials) for study, trials in found.items() if is_complete(study, trials)}
    finals = [_of_finals(wanted, number, best) for number in wanted.numbers]
    selected = _without_failed(store, [*finals, published], tried)
    yield Phase("finals", selected, ended, numbers, lambda _cell, _epochs: None, tuple(best.items()))


def _without_failed(store: Store, selected: Sequence[Selected], tried: Collection[str]) -> tuple[Selected, ...]:
    """`selected` without cells that were `tried` and have not ended; they stay in the lists of the database."""
    cells = {cell.id for item in selected for cell in item.cells} & set(tried)
    failed = cells - _ended(store, cells)
    left = [replace(one, cells=tuple(cell for cell in one.cells if cell.id not in failed)) for one in selected]
    return tuple(item for item in left if item.cells)


def expected(store: Store | None, wanted: Search) -> dict[str, Selected]:
    """The cells of a whole search, by their kind, for a plan; later trials and finals have values of early trials."""
    trials, finals = list[Cell](), list[Cell]()
    for study in wanted.studies:
        known = [] if store is None else trials_of(store, wanted.suite.name, study)
        cells = {cell.id: cell for cell in [*(cell for cell, _ in known), *first_points(study)]}
        every = list(cells.values())[: max(study.tuning.trials, len(known))]
        found = [trial for _, trial in known]
        best = best_of(found) if is_complete(study, found) else None
        trials += every
        finals += study.finals(study.values(every[0]) if best is None else best.values)
    kinds = {"trials": trials, "finals": finals, "published": wanted.published}
    return {kind: Selected(wanted.suite.name, wanted.source, tuple(cells)) for kind, cells in kinds.items()}


def _pruning(known: Known, asked: Mapping[Study, Sequence[Cell]]) -> Prune:
    """Which trials end early. Only trials of earlier rounds count, and these have ended."""
    places: dict[str, tuple[Study, int]] = {}
    for study, trials in known.items():
        cells = [*(cell for cell, _ in trials), *asked[study]]
        places |= {cell.id: (study, number) for number, cell in enumerate(cells)}

    def prune(cell: Cell, epochs: Sequence[EpochMetrics]) -> str | None:
        if cell.id not in places:  # a cell of the suite itself
            return None
        study, number = places[cell.id]
        trials = [trial for _, trial in known[study]]
        accuracies = [epoch.validation_accuracy for epoch in epochs if epoch.validation_accuracy is not None]
        epoch = pruned_after(study, trials, accuracies, number=number)
        return None if epoch is None else f"pruned after epoch {epoch} of {study.epochs} ({study.tuning.pruner})"

    return prune


def _of_trials(wanted: Search, number: int, known: Known, asked: Mapping[Study, Sequence[Cell]]) -> Selected:
    """The trials of all studies of this number: those that are known and not left, and those asked for next.

    They keep the text of the suite whose [tune] asked for them: `run` may replace that of the suite.
    """
    cells: list[Cell] = []
    for study in wanted.of(number):
        cells += [cell for cell, trial in known[study] if trial.end != "left"]
        cells += asked[study]
    return Selected(trials_name(wanted.suite.name, number), wanted.source, tuple(cells), wanted.suite.text)


def _of_finals(wanted: Search, number: int, best: Mapping[Study, Trial | None]) -> Selected:
    """The finals of the studies of this number that have a best trial."""
    won = ((study, best.get(study)) for study in wanted.of(number))
    cells = [cell for study, trial in won if trial is not None for cell in study.finals(trial.values)]
    return Selected(finals_name(wanted.suite.name, number), wanted.source, tuple(cells))


def _ended(store: Store, cell_ids: Collection[str]) -> set[str]:
    """Those of these cells that need no training: they have a result or are discarded."""
    ids = list(cell_ids)
    ended = {cell for cell, attempt in store.states(ids).items() if attempt is not None and attempt.state in FINAL}
    return ended | set(store.discards(cell_ids=ids))


def _require_same_search(store: Store, wanted: Search) -> None:
    """Raises SuiteError if the database has trials of this suite's name from another `[tune]`."""
    before = search_of(store, wanted.suite.name, source=wanted.source)
    if before is not None and before.fixed != wanted.tuning.fixed:
        raise SuiteError(
            f"{wanted.suite.source}: [tune] differs from that of the trials in {store.name}: only trials and studies "
            "may change while a search continues. Give the suite another name under [suite], or use another --db"
        )


def _add(whole: Outcome, part: Outcome) -> None:
    """The outcome of several runs: the reason of the last one, and the sums."""
    whole.reason, whole.in_other_runs, whole.left_out = part.reason, part.in_other_runs, part.left_out
    whole.ended.update(part.ended)
    whole.failed_sinks = list(dict.fromkeys([*whole.failed_sinks, *part.failed_sinks]))
