"""Which trials a study asks for: Sobol points, or those of Optuna's TPE in rounds, whatever interrupted the search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import optuna
import pytest
from scipy.stats import qmc

from asapbench.analysis.sampling import first_points, judged, next_trials, pruned_after
from asapbench.analysis.trials import Trial
from asapbench.errors import SuiteError
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse
from asapbench.suite.options import Value
from asapbench.suite.tuning import Study, studies

TEXT = """
[suite]
name = "mine"
[tune]
validation = 100
epochs = 4
{tune}
[tune.space]
{space}
[[grid]]
dataset = "digits"
model = {{ name = "resnet10", width = 2 }}
rule = "asap"
lr = 0.1
epochs = 9
"""
LR = "lr = { low = 1e-3, high = 1.0, log = true }"
SPACE = f"""{LR}
optimizer.momentum = {{ low = 0, high = 0.9 }}
batch_size = {{ low = 16, high = 64 }}
rule.k = [1, 2, 4]
"""


def study_of(tune: str, space: str = LR) -> Study:
    suite = parse(TEXT.format(tune=tune, space=space), source="s.toml")
    assert suite.tuning is not None
    return studies(suite.tuning, suite.cells)[0]


def peak(values: dict[str, Value]) -> float:
    """An accuracy that is best at a learning rate of 0.1."""
    return math.exp(-abs(math.log10(float(values["lr"])) + 1))


def after(study: Study, cell: Cell, *, epochs: int = 4) -> Trial:
    values = study.values(cell)
    curve = [peak(values) * epoch / 4 for epoch in range(1, epochs + 1)]
    return Trial(values, "done", tuple(curve))


def searched(study: Study, train: Callable[[Study, Cell], Trial] = after) -> list[list[Cell]]:
    """The rounds of a whole search."""
    rounds: list[list[Cell]] = []
    trials: list[Trial] = []
    while cells := next_trials(study, trials):
        rounds.append(cells)
        trials += [train(study, cell) for cell in cells]
    return rounds


def values_of(study: Study, rounds: Sequence[Sequence[Cell]]) -> list[dict[str, Value]]:
    return [study.values(cell) for cells in rounds for cell in cells]


def test_quasi_random_trials_are_the_scrambled_sobol_points_of_scipy() -> None:
    study = study_of("trials = 16\nseed = 77", SPACE)
    points = qmc.Sobol(4, seed=77).random(16)
    expected = [
        {
            "batch_size": round(15.5 + 49 * b),
            "lr": float(f"{10 ** (-3 + 3 * x):.3g}"),
            "optimizer.momentum": float(f"{0.9 * m:.3g}"),
            "rule.k": [1, 2, 4][int(3 * k)],
        }
        for b, x, m, k in points
    ]
    assert values_of(study, [next_trials(study, [])]) == expected


def test_the_order_of_the_keys_in_the_file_changes_no_trial() -> None:
    turned = "\n".join(reversed(SPACE.splitlines()))
    for tune in ("trials = 7", 'trials = 9\nsampler = "tpe"'):
        assert searched(study_of(tune, turned)) == searched(study_of(tune, SPACE))


def test_quasi_random_trials_without_pruning_come_in_one_round() -> None:
    assert [len(cells) for cells in searched(study_of("trials = 11"))] == [11]


def test_what_learns_from_trials_asks_in_rounds() -> None:
    assert [len(cells) for cells in searched(study_of('trials = 11\nsampler = "tpe"'))] == [5, 4, 2]
    assert [len(cells) for cells in searched(study_of('trials = 11\npruner = "median"\nbatch = 2'))] == [5, 2, 2, 2]
    assert [len(cells) for cells in searched(study_of('trials = 11\nsampler = "tpe"\nbatch = 9'))] == [9, 2]


@pytest.mark.parametrize("tune", ['trials = 9\nsampler = "tpe"', 'trials = 9\npruner = "median"'])
def test_a_round_waits_for_all_results_of_the_one_before(tune: str) -> None:
    study = study_of(tune)
    trials = [after(study, cell) for cell in next_trials(study, [])]
    assert len(next_trials(study, trials)) == 4
    assert next_trials(study, [*trials[:-1], Trial(trials[-1].values, "waiting")]) == []


def test_quasi_random_trials_wait_for_none() -> None:
    few, more = study_of("trials = 3"), study_of("trials = 5")
    waiting = [Trial(few.values(cell), "waiting") for cell in next_trials(few, [])]
    assert next_trials(few, waiting) == []
    assert next_trials(more, waiting) == next_trials(more, [])[3:]


@pytest.mark.parametrize("sampler", ["quasi-random", "tpe"])
def test_no_trial_comes_twice(sampler: str) -> None:
    space = "rule.k = [1, 2, 4]\nbatch_size = { low = 16, high = 19 }"
    study = study_of(f'trials = 12\nsampler = "{sampler}"', space)
    flat = [cell for cells in searched(study, lambda s, c: Trial(s.values(c), "done", (0.5,))) for cell in cells]
    assert len({cell.id for cell in flat}) == 12


def test_tpe_asks_for_the_same_trials_again_and_for_others_after_other_results() -> None:
    study, again = (study_of('trials = 13\nsampler = "tpe"', SPACE) for _ in range(2))
    assert searched(study) == searched(again)
    other = searched(study, lambda s, c: Trial(s.values(c), "done", (1 - peak(s.values(c)),)))
    assert other[0] == searched(study)[0]
    assert other[1] != searched(study)[1]


def test_tpe_comes_close_to_the_best_values() -> None:
    later = values_of(study := study_of('trials = 29\nsampler = "tpe"'), searched(study)[3:])
    distances = [abs(math.log10(float(values["lr"])) + 1) for values in later]
    assert sorted(distances)[len(distances) // 2] < 0.5  # of a random draw it is 0.75


def test_another_seed_has_other_trials() -> None:
    assert searched(study_of("trials = 4\nseed = 7")) != searched(study_of("trials = 4\nseed = 8"))


def test_more_trials_continue_the_same_sequence() -> None:
    few, more = study_of("trials = 6"), study_of("trials = 10")
    assert searched(more)[0][:6] == searched(few)[0]
    few, more = study_of('trials = 9\nsampler = "tpe"'), study_of('trials = 17\nsampler = "tpe"')
    assert searched(more)[:2] == searched(few)


@pytest.mark.parametrize("trials", [3, 6, 7, 10])
def test_tpe_continues_the_same_sequence_also_within_a_round(trials: int) -> None:
    few, more = (study_of(f'trials = {number}\nsampler = "tpe"', SPACE) for number in (trials, 13))
    first = [cell for cells in searched(few) for cell in cells]
    known = [after(few, cell) for cell in first]
    whole = [cell for cells in searched(more) for cell in cells]
    assert first == whole[:trials]
    while cells := next_trials(more, known):
        known += [after(more, cell) for cell in cells]
    assert [trial.values for trial in known] == [more.values(cell) for cell in whole]


def test_a_trial_that_cannot_be_trained_is_not_asked_for() -> None:
    # 1,338 examples are left to train: in batches of 191 the last one has a single example.
    two, three = (study_of(f"trials = {trials}", "batch_size = { low = 190, high = 192 }") for trials in (2, 3))
    assert {cell.batch_size for cell in next_trials(two, [])} == {190, 192}
    with pytest.raises(SuiteError, match="its search space has too few points for 3 trials: add values"):
        next_trials(three, [])


def test_values_with_which_the_finals_cannot_be_trained_are_not_asked_for() -> None:
    # 1,438 examples in batches of 479 leave one; the 1,338 of a trial do not.
    two, three = (study_of(f"trials = {trials}", "batch_size = { low = 478, high = 480 }") for trials in (2, 3))
    assert {cell.batch_size for cell in next_trials(two, [])} == {478, 480}
    with pytest.raises(SuiteError, match="its search space has too few points for 3 trials"):
        next_trials(three, [])


def test_a_space_that_three_digits_exhaust_is_an_error_with_the_fix() -> None:
    study = study_of("trials = 20", "lr = { low = 0.1, high = 0.101 }")
    with pytest.raises(SuiteError, match="too few points for 20 trials: add values, or take fewer trials"):
        first_points(study)


def test_trials_that_diverged_or_were_left_are_part_of_the_history() -> None:
    study = study_of('trials = 9\nsampler = "tpe"')
    first = [after(study, cell) for cell in next_trials(study, [])]
    for end in ("diverged", "left"):
        changed = [Trial(first[0].values, end, ()), *first[1:]]
        assert len(next_trials(study, changed)) == 4


def test_the_accuracy_of_a_trial_is_that_of_its_last_epoch() -> None:
    assert Trial({}, "done", (0.5, 0.3)).accuracy == 0.3
    assert Trial({}, "diverged", (0.5,)).accuracy == 0.0
    assert Trial({}, "left", (0.5,)).accuracy is None
    assert Trial({}, "waiting", (0.5,)).accuracy is None


# Pruning


CURVES = {  # by the number of the trial, its accuracy after each epoch
    "rising": lambda number: tuple((number + 1) * epoch / 100 for epoch in range(1, 5)),
    "falling": lambda number: tuple((20 - number) * epoch / 100 for epoch in range(1, 5)),
    "mixed": lambda number: tuple(((number * 7) % 11 + 1) * epoch / 100 for epoch in range(1, 5)),
}


def by_optuna(study: Study, pruner: optuna.pruners.BasePruner, curve: Callable[[int], tuple[float, ...]]) -> list[int]:
    """How many epochs each trial has when Optuna runs the study, one trial after another; it prunes none of the first
    five, nor one that has all its epochs.
    """
    lengths: list[int] = []

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("lr", 1e-3, 1, log=True)
        for epoch, accuracy in enumerate(curve(trial.number), start=1):
            trial.report(accuracy, epoch)
            if trial.should_prune() and trial.number >= 5 and epoch < 4:
                lengths.append(epoch)
                raise optuna.TrialPruned
        lengths.append(4)
        return curve(trial.number)[-1]

    made = optuna.create_study(direction="maximize", pruner=pruner, study_name="1")
    made.optimize(objective, n_trials=study.tuning.trials)
    return lengths


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_trials_are_pruned_as_by_optuna_itself(name: str, curve: str) -> None:
    study = study_of(f'trials = 16\nbatch = 1\npruner = "{name}"')
    pruner = {
        "median": optuna.pruners.MedianPruner(n_startup_trials=5),
        "hyperband": optuna.pruners.HyperbandPruner(min_resource=1, max_resource=4),
    }[name]
    trials: list[Trial] = []
    for number, cell in enumerate(first_points(study)):
        whole = CURVES[curve](number)
        length = pruned_after(study, trials, whole, number=number) or 4
        assert all(pruned_after(study, trials, whole[:n], number=number) is None for n in range(length))
        trials.append(Trial(study.values(cell), "done" if length == 4 else "left", whole[:length]))
    lengths = [len(trial.accuracies) for trial in trials]
    assert lengths == by_optuna(study, pruner, CURVES[curve])
    assert {4} < set(lengths) or curve == "rising"


def test_pruning_depends_on_earlier_rounds_only() -> None:
    study = study_of('trials = 13\npruner = "median"')
    finals = (0.5, 0.5, 0.5, 0.9, 0.9, *[0.9] * 4)  # of the first round, whose median is 0.5, and of the second
    trials = [Trial(study.values(c), "done", (a,) * 4) for c, a in zip(first_points(study), finals, strict=False)]
    for known in (trials[:5], trials[:8]):
        assert pruned_after(study, known, (0.6,), number=8) is None
        assert pruned_after(study, known, (0.4,), number=8) == 1
    assert pruned_after(study, trials, (0.6,), number=9) == 1  # the median of both rounds is 0.9
    assert pruned_after(study, trials, (0.95, 0.1, 0.1), number=9) is None  # its best counts


def test_a_discarded_trial_of_the_first_round_does_not_switch_pruning_off() -> None:
    study = study_of('trials = 9\npruner = "median"')
    trials = [Trial(study.values(cell), "done", (0.5,) * 4) for cell in first_points(study)[:5]]
    trials[2] = Trial(trials[2].values, "left", (0.5,))
    assert pruned_after(study, trials, (0.4,), number=5) == 1
    assert pruned_after(study, trials, (0.6,), number=5) is None


def test_the_median_is_that_of_trials_that_were_not_pruned() -> None:
    study = study_of('trials = 13\npruner = "median"')
    values = [study.values(cell) for cell in first_points(study)]
    trials = [Trial(one, "done", (0.5,) * 4) for one in values[:5]]
    pruned = [Trial(one, "left", (0.1,)) for one in values[5:9]]
    assert pruned_after(study, [*trials, *pruned], (0.4,), number=9) == 1


def test_without_pruner_and_at_the_last_epoch_no_trial_is_pruned() -> None:
    for pruner, expected in (("none", None), ("median", 1)):
        study = study_of(f'trials = 9\npruner = "{pruner}"')
        trials = [Trial(study.values(cell), "done", (0.5,) * 4) for cell in first_points(study)[:5]]
        assert pruned_after(study, trials, (0.1, 0.1, 0.1), number=5) == expected
        assert pruned_after(study, trials, (0.6, 0.6, 0.6, 0.1), number=5) is None


def test_a_trial_that_was_trained_although_it_should_have_been_pruned_counts_as_left() -> None:
    study = study_of('trials = 9\npruner = "median"')
    values = [study.values(cell) for cell in first_points(study)]
    good = [Trial(one, "done", (0.5,) * 4) for one in values[:5]]
    late = Trial(values[5], "done", (0.1, 0.9, 0.9, 0.9))
    assert [trial.end for trial in judged(study, [*good, late])] == ["done"] * 5 + ["left"]
    unpruned = study_of("trials = 9")
    assert judged(unpruned, [*good, late]) == [*good, late]
