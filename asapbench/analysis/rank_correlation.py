"""Whether two lists of a few numbers have the same order: Spearman's rho and Kendall's tau-b, with exact p values.

With a handful of numbers the usual approximations of p do not hold, so every order is tried. No torch here, and scipy
is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, isnan
from statistics import fmean
from typing import Any

from asapbench.analysis.comparison import without_rounding

FEWEST, MOST = 3, 7
"""Of numbers in a list: two have only two orders, and more than seven have too many orders to try each."""

_EQUAL = 1e-9

Pair = tuple[Sequence[float], Sequence[float]]
"""Two lists of equal length, one number of each for each item."""


@dataclass(frozen=True)
class RankCorrelation:
    """How alike the orders of `n` items are: 1 the same, -1 reversed. Each p is exact and two-sided."""

    n: int
    rho: float
    rho_p: float
    tau: float
    tau_p: float

    @property
    def smallest_p(self) -> float:
        """The p of equal orders without ties, than which none is smaller.

        >>> round(RankCorrelation(4, 1.0, 0.083, 1.0, 0.083).smallest_p, 3)
        0.083
        """
        return 2 / factorial(self.n)


def rank_correlation(pairs: Sequence[Pair]) -> RankCorrelation | None:
    """The correlation of the one pair, or the mean over several pairs of lists of the same items.

    p is the share of the orders of the items, the same order in every pair, whose correlation is as far from 0. So
    pairs of the same items need not be independent. Ties count as scipy counts them. None for fewer than `FEWEST` items
    and where a list has one value alone; raises ValueError for more than `MOST`.

    >>> found = rank_correlation([((1.0, 2.0, 3.0, 4.0), (10.0, 20.0, 40.0, 30.0))])
    >>> found.n, round(found.rho, 2), round(found.rho_p, 2), round(found.tau, 2), round(found.tau_p, 2)
    (4, 0.8, 0.33, 0.67, 0.33)
    """
    from scipy.stats import kendalltau, spearmanr

    n = min((len(first) for first, _ in pairs), default=0)
    if n > MOST:
        raise ValueError(f"{n} numbers have too many orders to try each: at most {MOST}")
    rounded = [(without_rounding(first), without_rounding(second)) for first, second in pairs]
    if n < FEWEST or any(len(set(values)) == 1 for pair in rounded for values in pair):
        return None
    return RankCorrelation(n, *_with_p(spearmanr, rounded, n), *_with_p(kendalltau, rounded, n))


def _with_p(coefficient: Callable[..., Any], pairs: Sequence[Pair], n: int) -> tuple[float, float]:
    """The mean coefficient of the pairs, and its p."""
    found = [
        fmean(float(coefficient([first[place] for place in order], second).statistic) for first, second in pairs)
        for order in permutations(range(n))
    ]
    assert not any(map(isnan, found))
    return found[0], fmean(abs(one) >= abs(found[0]) - _EQUAL for one in found)
