"""Whether learning rules differ: paired differences with an interval and a test, corrected tests, and ranks.

Trainings of two rules with the same seed start from the same weights and see the same batches, so their differences are
what is tested. A function that several values are needed for returns None where there are too few. No torch here, and
scipy is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean, stdev

LEVEL = 0.05
"""A difference is significant if its p is at most this; intervals have the level 1 - LEVEL."""

_RESAMPLES, _SEED = 9_999, 0
"""Of the bootstrap: the same differences always have the same interval."""

_EQUAL = 1e-9
"""Differences of percentages that are closer than this are equal: they differ by rounding alone."""

_ENUMERATED = 13
"""Up to so many differences the signed-rank test goes through all 2^n signs, so that ties are exact too."""


class PairedTest(StrEnum):
    """How paired differences are tested, two-sided. The t-test assumes that they are normally distributed."""

    T = "t"
    WILCOXON = "wilcoxon"

    @property
    def described(self) -> str:
        """The test, in the words of a caption."""
        return "paired t-test" if self is PairedTest.T else "Wilcoxon signed-rank test"

    def p(self, differences: Sequence[float]) -> float | None:
        """The p value of `differences`, 1 where all are 0; None where they allow no test.

        That is for fewer than two, and for a t-test of equal ones, whose spread is 0.

        >>> PairedTest.T.p((0.0, 0.0)), PairedTest.T.p((1.0,)), PairedTest.WILCOXON.p((1.0, 2.0, 3.0))
        (1.0, None, 0.25)
        """
        if len(differences) < 2:
            return None
        if all(abs(one) < _EQUAL for one in differences):
            return 1.0
        return _t(differences) if self is PairedTest.T else _signed_rank(differences)

    def smallest_p(self, differences: Sequence[float]) -> float:
        """The smallest p that so many differences allow. For the t-test 0: it falls with their spread without limit."""
        if self is PairedTest.T:
            return 0.0
        return smallest_exact_p(sum(abs(one) >= _EQUAL for one in differences))


class Interval(StrEnum):
    """How the interval of a mean is made: from Student's t distribution, or by resampling the values (BCa)."""

    T = "t"
    BOOTSTRAP = "bootstrap"

    @property
    def described(self) -> str:
        """The interval, in the words of a caption."""
        level = f"{1 - LEVEL:.0%} interval".replace("%", " %")
        if self is Interval.T:
            return f"{level} of the t distribution"
        return f"{level} by bootstrap (BCa, {_RESAMPLES} resamples, seed {_SEED})"

    def of(self, values: Sequence[float]) -> tuple[float, float] | None:
        """The interval of the mean of `values`; None for fewer than two.

        >>> [round(end, 3) for end in Interval.T.of((1.0, 2.0, 3.0))]
        [-0.484, 4.484]
        """
        if len(values) < 2:
            return None
        if max(values) - min(values) < _EQUAL:
            return (fmean(values), fmean(values))
        return _t_interval(values) if self is Interval.T else _bootstrap_interval(values)


def smallest_exact_p(n: int) -> float:
    """The smallest two-sided p of `n` differences without an assumption on their distribution: all have one sign.

    >>> smallest_exact_p(5), smallest_exact_p(6)
    (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - n))


def without_rounding(values: Sequence[float]) -> list[float]:
    """Percentages, or differences of them, such that those that differ by rounding alone are ties.

    >>> without_rounding([90.3 - 90.2, 70.4 - 70.3])
    [0.1, 0.1]
    """
    return [round(value, 9) for value in values]


def holm(ps: Sequence[float]) -> list[float]:
    """`ps` corrected for their number by Holm (1979), in the same order: at most LEVEL means significant.

    The chance of one wrong "significant" or more among all is then at most LEVEL.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = largest
    return adjusted


def _t(differences: Sequence[float]) -> float | None:
    from scipy.special import stdtr  # unlike scipy.stats imported in an instant: reports that mark the best need it

    n, spread = len(differences), stdev(differences)
    if spread < _EQUAL:
        return None
    return float(2 * stdtr(n - 1, -abs(fmean(differences)) * math.sqrt(n) / spread))


def _signed_rank(differences: Sequence[float]) -> float:
    from scipy.stats import PermutationMethod, wilcoxon

    other = without_rounding([one for one in differences if abs(one) >= _EQUAL])
    if len(other) == 1:
        return smallest_exact_p(1)  # scipy permutes two or more
    if len(other) <= _ENUMERATED:
        return float(wilcoxon(other, method=PermutationMethod(n_resamples=2 ** len(other))).pvalue)
    return float(wilcoxon(other).pvalue)


def _t_interval(values: Sequence[float]) -> tuple[float, float]:
    from scipy.special import stdtrit

    n, mean = len(values), fmean(values)
    half = float(stdtrit(n - 1, 1 - LEVEL / 2)) * stdev(values) / math.sqrt(n)
    return mean - half, mean + half


def _bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    generator = np.random.default_rng(_SEED)
    found = bootstrap(
        (values,), np.mean, confidence_level=1 - LEVEL, n_resamples=_RESAMPLES, method="BCa", random_state=generator
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
