"""Average ranks of rules over rows, as Demsar (2006) compares classifiers over data sets.

Friedman's test asks whether the rules differ at all; two of them differ if their average ranks are further apart than
Nemenyi's critical difference. Rows count equally and are taken for independent. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

from asapbench.analysis.comparison import LEVEL, without_rounding


def average_ranks(rows: Sequence[Sequence[float]]) -> list[float]:
    """For each column its rank among the numbers of a row, 1 the highest, averaged over rows; ties share their ranks.

    >>> average_ranks([(90.0, 80.0, 70.0), (90.0, 91.0, 80.0), (50.0, 50.0, 40.0)])
    [1.5, 1.5, 3.0]
    """
    from scipy.stats import rankdata

    ranks = [rankdata([-value for value in without_rounding(row)]).tolist() for row in rows]
    return [fmean(column) for column in zip(*ranks, strict=True)]


def friedman_p(rows: Sequence[Sequence[float]]) -> float:
    """The p of Friedman's test that all columns, three or more, have the same rank; 1 where each row is one tie."""
    from scipy.stats import friedmanchisquare

    rounded = list(map(without_rounding, rows))
    if all(len(set(row)) == 1 for row in rounded):
        return 1.0
    return float(friedmanchisquare(*zip(*rounded, strict=True)).pvalue)


@lru_cache
def nemenyi_q(columns: int) -> float:
    """The critical value of Nemenyi's test: that of the studentized range for infinite degrees of freedom, by sqrt 2.

    >>> round(nemenyi_q(5), 3)
    2.728
    """
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, columns, math.inf)) / math.sqrt(2)


def critical_difference(columns: int, rows: int) -> float:
    """How far apart two average ranks must be: q sqrt(k (k + 1) / (6 N)) for k columns and N rows.

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    return nemenyi_q(columns) * math.sqrt(columns * (columns + 1) / (6 * rows))


def rows_needed(columns: int) -> int:
    """The fewest rows with which the best and the worst of all columns could differ: at most k - 1 ranks lie between.

    >>> [rows_needed(columns) for columns in (3, 5, 10)]
    [3, 3, 3]
    """
    return next(rows for rows in range(2, 100) if critical_difference(columns, rows) < columns - 1)


def not_distinguished(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """The first and last place of each longest run of `ranks`, sorted, that are less than `difference` apart.

    >>> not_distinguished([1.0, 1.5, 2.2, 3.5], 1.0)
    [(0, 1), (1, 2)]
    """
    runs: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank < difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs
