"""The trials of a study as the database has them, and what they show: the best one, and whether more would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum
from typing import TYPE_CHECKING, Literal

from asapbench.errors import SuiteError
from asapbench.suite.grid import data_of_cells
from asapbench.suite.load import parse
from asapbench.suite.tuning import trials_name

if TYPE_CHECKING:
    from asapbench.store import Attempt
    from asapbench.store.store import Store
    from asapbench.suite.cell import Cell
    from asapbench.suite.options import Value
    from asapbench.suite.tuning import Study, Tuning

TrialEnd = Literal["waiting", "done", "diverged", "left"]
"""How a trial ended. `left`: pruned, or discarded by the user; `waiting`: not yet."""

INTERVAL = (0.05, 0.95)
"""The quantiles of an interval over orders of trials."""
_ROUNDING = 1e-12
"""A probability that is less than this below a quantile is the quantile."""


@dataclass(frozen=True)
class Trial:
    """A trial of a study: its values, and its validation accuracy (0..1) and seconds of training in each epoch."""

    values: Mapping[str, Value]
    end: TrialEnd
    accuracies: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float | None:
        """The accuracy at its last epoch; 0 if it diverged, None while it waits and if it was left."""
        if self.end == "diverged":
            return 0.0
        return self.accuracies[-1] if self.end == "done" and self.accuracies else None

    @property
    def reached(self) -> float:
        """The accuracy with which it may be chosen: 0 if it diverged or was left, as it never is."""
        return self.accuracy or 0.0


def search_of(store: Store, suite: str, *, source: str) -> Tuning | None:
    """The `[tune]` that asked for the recorded trials of a suite, which was read from `source`.

    None where there are no trials, or its text cannot be read here: an entry is not installed, or data are gone.
    """
    known = {record.name: record for record in store.suites()}
    trials, own = known.get(trials_name(suite)), known.get(suite)
    text = None if trials is None else trials.text or (own.text if own else None)  # early lists have no text
    if text is None:
        return None
    try:
        complete = data_of_cells(partial(store.group_cells, suite))
        return parse(text, source=source, complete=complete, all_seeds=False).tuning
    except SuiteError:
        return None


def trials_of(store: Store, suite: str, study: Study) -> list[tuple[Cell, Trial]]:
    """All recorded trials of a study, in the order in which they were asked for, also more than it asks for now."""
    name = trials_name(suite, study.number)
    if name not in {record.name for record in store.suites()}:
        return []
    recorded, _ = store.readable_cells(name, with_discarded=True)
    values = [study.values(cell) for cell in recorded if study.has(cell)]
    cells = [study.trial(one) for one in values]  # with the places where the suite's data are now
    ids = [cell.id for cell in cells]
    states, discarded = store.states(ids), store.discards(cell_ids=ids)
    found = []
    for cell, one in zip(cells, values, strict=True):
        attempt = states[cell.id]
        epochs = [] if attempt is None else store.epochs(attempt.lineage)
        known = [epoch.validation_accuracy for epoch in epochs if epoch.validation_accuracy is not None]
        end, seconds = _end(attempt, is_discarded=cell.id in discarded), tuple(epoch.seconds for epoch in epochs)
        found.append(Trial(one, end, tuple(known), seconds))
    return list(zip(cells, _judged(study, found), strict=True))


def _judged(study: Study, trials: Sequence[Trial]) -> Sequence[Trial]:
    if study.tuning.pruner == "none":
        return trials
    from asapbench.analysis.sampling import judged  # Optuna, which a report seldom needs

    return judged(study, trials)


def _end(attempt: Attempt | None, *, is_discarded: bool) -> TrialEnd:
    if is_discarded:
        return "left"
    match None if attempt is None else attempt.state:
        case "done" | "diverged" as end:
            return end
        case _:
            return "waiting"


def is_complete(study: Study, trials: Sequence[Trial]) -> bool:
    """Whether all trials of a study have ended."""
    return len(trials) >= study.tuning.trials and all(trial.end != "waiting" for trial in trials)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial of the highest validation accuracy at its last epoch, the first of equals; None without one."""
    done = [trial for trial in trials if trial.end == "done" and trial.accuracy is not None]
    return max(done, key=lambda trial: trial.accuracy or 0.0, default=None)


@dataclass(frozen=True)
class BestSoFar:
    """The best value of the first `trials` ones, over all orders of a study's trials: the mean, and an interval."""

    trials: int
    mean: float
    low: float
    high: float


def best_by_trials(values: Sequence[float]) -> list[BestSoFar]:
    """For each number k of trials: the best of k of these values, drawn in random order without repetition.

    Not resampled. The largest of k values is the i-th smallest of all n with probability C(i-1, k-1) / C(n, k). The
    best of all n values is the same in every order: the interval shrinks to a point, and the mean still rises.
    The idea is that of Dodge et al. 2019 ("Show your work"), who draw with repetition. `low` and `high` are the
    smallest values that the best does not exceed with at least the probabilities of `INTERVAL`.

    >>> [round(one.mean, 3) for one in best_by_trials([0.1, 0.4, 0.7])]
    [0.4, 0.6, 0.7]
    """
    ordered = sorted(values)
    return [_best_of(ordered, k) for k in range(1, len(ordered) + 1)]


def last_half(curve: Sequence[BestSoFar]) -> float | None:
    """What the mean gains from half of the trials, rounded down, to all; None with fewer than two."""
    return curve[-1].mean - curve[len(curve) // 2 - 1].mean if len(curve) > 1 else None


def _best_of(ordered: Sequence[float], k: int) -> BestSoFar:
    passed, terms, places = 1.0, list[float](), dict[float, int]()
    for place in range(len(ordered), k - 1, -1):  # passed: C(place, k) / C(n, k), that no value is above that place
        places |= {share: place for share in INTERVAL if passed >= share - _ROUNDING}
        terms.append(passed * k / place * ordered[place - 1])
        passed *= (place - k) / place
    low, high = (ordered[places[share] - 1] for share in INTERVAL)
    return BestSoFar(k, fsum(terms), low, high)
