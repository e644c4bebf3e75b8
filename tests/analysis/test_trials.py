"""The best of a study's trials by their number: checked against all orders, one by one."""

from itertools import permutations
from statistics import fmean

import pytest

from asapbench.analysis.trials import Trial, best_by_trials, best_of


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


def test_a_trial_that_was_left_has_reached_its_last_epoch_and_one_that_diverged_nothing() -> None:
    assert Trial({}, "left", (0.2, 0.4)).reached == 0.4
    assert Trial({}, "left").reached == 0.0
    assert Trial({}, "diverged", (0.5,)).reached == 0.0
