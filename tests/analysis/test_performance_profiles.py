"""Performance profiles: an example by hand, the properties that Dolan and Moré (2002) state, the integral by grid."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from asapbench.analysis.profiles import SCORED, profile, ratios, score, steps

INF = math.inf


def made_up(seed: int, *, problems: int = 12, solvers: int = 4) -> list[tuple[float, ...]]:
    """Ratios by solver. Some times are equal, some infinite, and each problem is solved by one solver or more."""
    draw = random.Random(seed)
    times = [[draw.choice([draw.uniform(1, 20), 5.0, INF]) for _ in range(solvers)] for _ in range(problems)]
    solved = [row if min(row) < INF else [3.0, *row[1:]] for row in times]
    return list(zip(*map(ratios, solved), strict=True))


def test_three_problems_by_hand() -> None:
    """Times 1, 10, none and 2, 5, 8: ratios 1, 2, none and 2, 1, 1."""
    first, second = zip(*map(ratios, [(1.0, 2.0), (10.0, 5.0), (INF, 8.0)]), strict=True)
    assert (first, second) == ((1.0, 2.0, INF), (2.0, 1.0, 1.0))
    assert [profile(first, tau) for tau in (1, 1.9, 2, 100)] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert [profile(second, tau) for tau in (1, 1.9, 2, 100)] == pytest.approx([2 / 3, 2 / 3, 1, 1])
    # A height of 1/3 over the first third of 1 to 4, then of 2/3; and of 2/3, then of 1.
    assert score(first) == pytest.approx(1 / 3 * 1 / 3 + 2 / 3 * 2 / 3)
    assert score(second) == pytest.approx(2 / 3 * 1 / 3 + 1 * 2 / 3)


@pytest.mark.parametrize("seed", range(20))
def test_at_1_the_profiles_of_all_solvers_sum_to_1_or_more(seed: int) -> None:
    assert sum(profile(own, 1.0) for own in made_up(seed)) >= 1 - 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_a_profile_never_falls_and_ends_at_the_share_of_solved_problems(seed: int) -> None:
    for own in made_up(seed):
        heights = [profile(own, tau) for tau in np.linspace(1, 30, 400)]
        assert heights == sorted(heights)
        assert profile(own, INF) == pytest.approx(sum(ratio < INF for ratio in own) / len(own))


@pytest.mark.parametrize("seed", range(20))
def test_the_score_is_the_integral_of_the_profile_from_1_to_4_over_3(seed: int) -> None:
    """The midpoint rule on a step function: off by at most one cell of the grid for each step."""
    taus = np.linspace(1, SCORED, 30_001)
    middle = (taus[1:] + taus[:-1]) / 2
    for own in made_up(seed):
        heights = (np.array(own)[:, None] <= middle).mean(axis=0)
        assert score(own) == pytest.approx(heights.mean(), abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_steps_are_the_profile(seed: int) -> None:
    for own in made_up(seed):
        found = steps(own)
        assert found[0][0] == 1.0
        for (tau, height), (after, _) in zip(found, [*found[1:], (found[-1][0] + 2, 0.0)], strict=True):
            assert profile(own, tau) == profile(own, (tau + after) / 2) == height


def test_all_times_in_another_unit_change_no_ratio() -> None:
    assert ratios((2.0, 5.0, INF)) == ratios((120.0, 300.0, INF))


def test_a_problem_that_no_solver_solves_counts_for_none() -> None:
    assert ratios((INF, INF)) == (INF, INF)
    assert profile((1.0, INF), INF) == 0.5


def test_a_time_of_0_is_infinitely_faster_than_any_other() -> None:
    assert ratios((0.0, 0.0, 3.0)) == (1.0, 1.0, INF)


def test_the_fastest_has_a_ratio_of_exactly_1() -> None:
    assert ratios((0.1 + 0.2, 0.3))[1] == 1.0
    assert ratios((49.0 / 49.0 / 3, 1.0))[0] == 1.0
