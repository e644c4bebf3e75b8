"""The best of a study's trials by their number: checked against all orders, one by one."""

from itertools import permutations
from statistics import fmean

import pytest

from asapbench.analysis.trials import Trial, best_by_trials, best_of, last_half


def best_of_first(values: tuple[float, ...], k: int) -> list[float]:
    """The best of the first k values in every order of all, sorted."""
    return sorted(max(order[:k]) for order in permutations(values))


@pytest.mark.parametrize("values", [(0.3,), (0.1, 0.4, 0.7), (0.2, 0.5, 0.5, 0.9, 0.1), (0.6, 0.1, 0.8, 0.2, 0.4, 0.3)])
def test_mean_and_interval_are_those_over_all_orders(values: tuple[float, ...]) -> None:
    curve = best_by_trials(values)
    assert [point.trials for point in curve] == list(range(1, len(values) + 1))
    for point in curve:
        found = best_of_first(values, point.trials)
        assert point.mean == pytest.approx(fmean(found), abs=1e-12)
        # The smallest values below or at which 5 and 95 % of the orders are.
        low, high = (next(v for n, v in enumerate(found, 1) if n >= share * len(found)) for share in (0.05, 0.95))
        assert (point.low, point.high) == (low, high)


def test_all_trials_together_leave_no_doubt() -> None:
    last = best_by_trials([0.2, 0.9, 0.4])[-1]
    assert (last.mean, last.low, last.high) == (0.9, 0.9, 0.9)


def test_no_trial_has_no_best() -> None:
    assert best_by_trials([]) == []
    assert (
        best_of([Trial({"lr": 0.1}, "diverged"), Trial({"lr": 0.2}, "left", (0.9,)), Trial({"lr": 1.0}, "waiting")])
        is None
    )


def test_the_last_epoch_counts_and_the_first_of_equals_wins() -> None:
    falls, first, second = (
        Trial({"lr": lr}, "done", curve) for lr, curve in ((1.0, (0.9, 0.3)), (0.1, (0.4,)), (0.2, (0.4,)))
    )
    assert best_of([falls, first, second]) is first


def test_the_curve_ends_at_the_accuracy_of_the_chosen_trial_whatever_was_left_or_diverged() -> None:
    ended = [Trial({}, "left", (0.2, 0.9)), Trial({}, "left"), Trial({}, "diverged", (0.8,))]
    trials = [Trial({}, "done", (0.7, 0.5)), *ended, Trial({}, "done", (0.4,))]
    chosen = best_of(trials)
    assert chosen is trials[0]
    assert [trial.reached for trial in trials] == [0.5, 0.0, 0.0, 0.0, 0.4]
    assert best_by_trials([trial.reached for trial in trials])[-1].mean == chosen.accuracy


def test_the_mean_rises_at_its_last_step_by_the_lead_of_the_best_over_the_second_by_number() -> None:
    means = [point.mean for point in best_by_trials([0.5, 0.1, 0.9, 0.7])]
    assert means[3] - means[2] == pytest.approx((0.9 - 0.7) / 4)


def test_the_last_half_gains_from_half_of_the_trials_to_all() -> None:
    curve = best_by_trials([0.1, 0.4, 0.7])
    assert last_half(curve) == pytest.approx(0.7 - 0.4)
    assert last_half(best_by_trials([0.1, 0.2, 0.6, 0.9])) == pytest.approx(0.9 - (0.2 + 2 * 0.6 + 3 * 0.9) / 6)
    assert last_half(best_by_trials([0.1])) is None
    assert last_half([]) is None


def test_the_best_of_a_thousand_trials_has_numbers() -> None:
    # Of 0, 1, ..., n - 1, the largest of k is (k n - 1) / (k + 1) in the mean, hand-checked for n = 3, k = 2: 5 / 3.
    number = 1100
    curve = best_by_trials(range(number))
    assert [point.mean for point in curve[::100]] == pytest.approx(
        [(k * number - 1) / (k + 1) for k in range(1, number + 1, 100)]
    )
    assert (curve[0].low, curve[0].high) == (54, 1044)  # 55 and 1,045 of 1,100 values are at most these
