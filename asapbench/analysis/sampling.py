"""Which trials a study asks for next, by Optuna's samplers, and which it ends early, by Optuna's pruners.

Everything follows from the study and its trials so far: there is no other state. Trials come in rounds. A round depends
on the results of earlier rounds alone, so that a search that was killed asks for the same trials again, on any number
of slots. A search that learns nothing from its trials has one round.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from asapbench.analysis.trials import Trial
from asapbench.errors import SuiteError
from asapbench.suite.cell import Cell
from asapbench.suite.options import Value
from asapbench.suite.tuning import Dimension, Listed, Range, Study, Tuning

optuna.logging.set_verbosity(optuna.logging.WARNING)  # else each study is announced on standard error

_STARTUP = 5
"""The least trials of the first round, none of which is pruned: Optuna's median pruner waits for as many by default."""
_DRAWS = 20
"""Points that are drawn for each trial to find new ones: more say that there are none."""


def next_trials(study: Study, trials: Sequence[Trial]) -> list[Cell]:
    """The trials that the study asks for after these: none while one of them waits, or when it has enough.

    Raises SuiteError if the space has too few points.
    """
    tuning, count = study.tuning, len(trials)
    if any(trial.end == "waiting" for trial in trials) and tuning.is_sequential:
        return []
    if (wanted := _end_of_round(tuning, count) - count) <= 0:
        return []
    is_start = count < _startup(tuning)
    points = _points(study) if is_start or tuning.sampler == "quasi-random" else _learned(study, trials)
    return _new(study, points, wanted, known=[trial.values for trial in trials])


def first_points(study: Study) -> list[Cell]:
    """As many different quasi-random trials as the study has."""
    return _new(study, _points(study), study.tuning.trials)


def pruned_after(study: Study, trials: Sequence[Trial], accuracies: Sequence[float], *, number: int) -> int | None:
    """The epoch after which trial `number`, which counts from 0, is pruned, by those of `trials` of earlier rounds.

    None where it is not pruned after any of the epochs with these accuracies. The last one of the budget ends no trial.
    """
    before_last = accuracies[: study.epochs - 1]
    if study.tuning.pruner == "none" or not before_last:
        return None
    earlier = trials[: _start_of_round(study.tuning, number)]
    made = _with_history(study, earlier)
    for _ in range(number - len(earlier)):  # Hyperband's brackets go by the number of a trial
        made.ask()
    asked = made.ask()
    for epoch, accuracy in enumerate(before_last, start=1):
        asked.report(accuracy, epoch)
        if asked.should_prune():
            return epoch
    return None


def judged(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """These trials, where those that should have been pruned are left: `resume`, which prunes none, may have trained
    them, or a run may have died before it recorded that it pruned one.
    """
    found: list[Trial] = []
    for number, trial in enumerate(trials):
        has_ended = trial.end in ("done", "diverged")
        is_left = has_ended and pruned_after(study, found, trial.accuracies, number=number) is not None
        found.append(replace(trial, end="left") if is_left else trial)
    return found


def _startup(tuning: Tuning) -> int:
    """Trials of the first round; all where there is one round. More trials, asked for later, change no round."""
    return max(tuning.batch, _STARTUP) if tuning.is_sequential else tuning.trials


def _start_of_round(tuning: Tuning, number: int) -> int:
    first = _startup(tuning)
    return 0 if number < first else first + (number - first) // tuning.batch * tuning.batch


def _end_of_round(tuning: Tuning, number: int) -> int:
    first = _startup(tuning)
    end = first if number < first else _start_of_round(tuning, number) + tuning.batch
    return min(end, tuning.trials)


def _new(
    study: Study, points: Iterator[dict[str, Value]], wanted: int, *, known: Sequence[Mapping[str, Value]] = ()
) -> list[Cell]:
    """The first `wanted` trials of `points` that are not `known`, each once, where trial and finals can be trained.

    Raises SuiteError where there are fewer.
    """
    seen = {study.trial(values).id for values in known}
    found: list[Cell] = []
    for point in islice(points, _DRAWS * (study.tuning.trials + wanted)):
        cell = study.trial(point)
        if cell.id not in seen and not any(study.faults(point)):
            found.append(cell)
        seen.add(cell.id)
        if len(found) == wanted:
            return found
    raise SuiteError(
        f"{study.label}: its search space has too few points for {study.tuning.trials} trials: add values, or take "
        "fewer trials"
    )


# Optuna


class _QuasiRandom(optuna.samplers.QMCSampler):
    """Optuna's sampler of Sobol points; Optuna's own draws the first trial at random, to learn the space from it."""

    def __init__(self, space: dict[str, BaseDistribution], *, seed: int) -> None:
        super().__init__(qmc_type="sobol", scramble=True, seed=seed)
        self._known = space

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The space of the study."""
        return self._known


def _points(study: Study) -> Iterator[dict[str, Value]]:
    """Sobol points without end, always the same ones; a list takes one coordinate, in equal parts."""
    space: dict[str, BaseDistribution] = {
        key: FloatDistribution(0, len(one.values)) if isinstance(one, Listed) else _distribution(one)
        for key, one in study.space.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = _QuasiRandom(space, seed=study.seed)
    asked = optuna.create_study(sampler=sampler)
    while True:
        yield {key: _value(study.space[key], number) for key, number in asked.ask(space).params.items()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Listed):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _distributions(study: Study) -> dict[str, BaseDistribution]:
    return {key: _distribution(dimension) for key, dimension in study.space.items()}


def _value(dimension: Dimension, number: Any) -> Value:
    """A coordinate of a point as a cell has it; that of a list is the place of the value in it."""
    if isinstance(dimension, Range):
        return dimension.rounded(number)
    return dimension.values[min(int(number), len(dimension.values) - 1)]


def _learned(study: Study, trials: Sequence[Trial]) -> Iterator[dict[str, Value]]:
    """Points of the round that begins or continues after these trials, by the results of earlier rounds.

    Those of one round know of each other, not of each other's results. A round of which `trials` has a part, as the
    search had fewer trials, is drawn again from its start. Where the sampler finds nothing new, quasi-random points
    follow.
    """
    space = _distributions(study)
    earlier = trials[: _start_of_round(study.tuning, len(trials))]
    asked = _with_history(study, earlier)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        asked.sampler = optuna.samplers.TPESampler(
            seed=study.seed + 7919 * len(earlier),  # a new sequence for each round, as nothing is kept between rounds
            n_startup_trials=1,
            multivariate=True,
            constant_liar=True,
        )
    drawn = (asked.ask(space).params for _ in range(_DRAWS * study.tuning.batch))
    rounded = ({key: _rounded(study.space[key], value) for key, value in params.items()} for params in drawn)
    return chain(rounded, _points(study))


def _rounded(dimension: Dimension, value: Any) -> Value:
    found: Value = dimension.rounded(value) if isinstance(dimension, Range) else value
    return found


def _with_history(study: Study, trials: Sequence[Trial]) -> optuna.Study:
    """An Optuna study in which these trials have ended as they did."""
    made = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),  # draws nothing: the values of all trials are known
        pruner=_pruner(study),
        study_name=str(study.number),
    )
    space = _distributions(study)
    for trial in trials:
        made.enqueue_trial(dict(trial.values))
        _replay(made, made.ask(space), trial)
    return made


def _replay(made: optuna.Study, asked: optuna.Trial, trial: Trial) -> None:
    """Ends a trial as it has ended; pruners keep what they know of it while its epochs are reported."""
    for epoch, accuracy in enumerate(trial.accuracies, start=1):
        asked.report(accuracy, epoch)
        if asked.should_prune() and trial.end == "left":
            break
    if trial.accuracy is not None:
        made.tell(asked, trial.accuracy)
    else:
        made.tell(asked, state=TrialState.PRUNED if trial.accuracies else TrialState.FAIL)


def _pruner(study: Study) -> optuna.pruners.BasePruner:
    match study.tuning.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=1)  # the first round is never pruned
        case "hyperband":
            return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=study.epochs)
        case _:
            return optuna.pruners.NopPruner()
