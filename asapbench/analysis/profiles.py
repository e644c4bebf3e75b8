"""Performance profiles (Dolan and Moré 2002): how often a solver is within a factor of the fastest one, over problems.

The ratio of a solver on a problem is its time over the least time of any solver there; a problem that it does not solve
takes it infinitely long. The profile rho(tau) is the share of problems whose ratio is at most tau. AlgoPerf (Dahl et
al. 2023) ranks by the mean height of the profile from tau = 1 to 4. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

SCORED = 4.0
"""Up to this ratio a problem counts in the score: AlgoPerf's r_max."""


def ratios(times: Sequence[float]) -> tuple[float, ...]:
    """The ratios of all solvers on one problem; infinite for all where none of them solves it.

    >>> ratios((10.0, 25.0, math.inf)), ratios((math.inf, math.inf))
    ((1.0, 2.5, inf), (inf, inf))
    """
    least = min(times)
    if math.isinf(least):
        return tuple(times)
    return tuple(1.0 if time == least else time / least if least else math.inf for time in times)


def profile(of_problems: Sequence[float], tau: float) -> float:
    """rho(tau) of one solver, from its ratios.

    >>> [round(profile((1.0, 2.0, math.inf), tau), 3) for tau in (1, 2, math.inf)]
    [0.333, 0.667, 0.667]
    """
    return fmean(math.isfinite(ratio) and ratio <= tau for ratio in of_problems)


def score(of_problems: Sequence[float], *, most: float = SCORED) -> float:
    """The mean height of a solver's profile from 1 to `most`, between 0 and 1: its integral over `most` - 1.

    A ratio r raises the profile by one problem from r on, so it adds (most - r) / (most - 1) of a problem.

    >>> score((1.0, 2.5, 4.0, math.inf))
    0.375
    """
    return fmean(max(0.0, most - ratio) / (most - 1) for ratio in of_problems)


def steps(of_problems: Sequence[float]) -> list[tuple[float, float]]:
    """Where a solver's profile rises, and its height from there on; it begins at 1.

    >>> steps((1.0, 2.0, 2.0, math.inf))
    [(1.0, 0.25), (2.0, 0.75)]
    """
    rises = sorted({1.0, *filter(math.isfinite, of_problems)})
    return [(tau, profile(of_problems, tau)) for tau in rises]
