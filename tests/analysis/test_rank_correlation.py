"""Rank correlations are scipy's, with p values from every order of the items."""

from itertools import permutations
from statistics import fmean

import pytest
from scipy.stats import kendalltau, spearmanr

from asapbench.analysis.rank_correlation import rank_correlation

PUBLISHED = [94.93, 94.76, 72.47, 76.00, 92.19]
MEASURED = [80.0, 70.0, 50.0, 55.0, 75.0]


def test_one_pair_has_scipys_coefficients_and_kendalls_exact_p() -> None:
    found = rank_correlation([(MEASURED, PUBLISHED)])
    assert found is not None
    assert (found.n, found.rho) == (5, pytest.approx(spearmanr(MEASURED, PUBLISHED).statistic))
    exact = kendalltau(MEASURED, PUBLISHED, method="exact")
    assert (found.tau, found.tau_p) == (pytest.approx(exact.statistic), pytest.approx(exact.pvalue))
    # Of the 120 orders, the equal one and the 4 with two neighbours exchanged have 0.9 or more; reversed, 5 more.
    assert (found.rho, found.rho_p) == (pytest.approx(0.9), pytest.approx(10 / 120))


def test_ties_count_as_scipy_counts_them() -> None:
    tied = [80.0, 80.0 + 1e-12, 50.0, 55.0, 75.0]
    found = rank_correlation([(tied, PUBLISHED)])
    assert found is not None
    equal = [80.0, *tied[:1], *tied[2:]]
    assert found.tau == pytest.approx(kendalltau(equal, PUBLISHED).statistic)
    assert found.rho == pytest.approx(spearmanr(equal, PUBLISHED).statistic)


def test_several_pairs_have_the_mean_and_the_same_order_is_tried_in_each() -> None:
    pairs = [(MEASURED[:4], PUBLISHED[:4]), ([4.0, 3.0, 1.0, 2.0], [9.0, 6.0, 8.0, 7.0])]

    def mean(order: tuple[int, ...]) -> float:
        return fmean(float(spearmanr([first[place] for place in order], second).statistic) for first, second in pairs)

    found = rank_correlation(pairs)
    assert found is not None
    assert found.rho == pytest.approx(mean((0, 1, 2, 3)))
    as_far = [abs(mean(order)) >= abs(found.rho) - 1e-9 for order in permutations(range(4))]
    assert found.rho_p == pytest.approx(sum(as_far) / 24)


def test_equal_orders_of_n_items_have_the_smallest_p() -> None:
    for n in (3, 4, 5):
        found = rank_correlation([(range(n), range(n))])
        assert found is not None
        assert found.rho_p == found.tau_p == pytest.approx(found.smallest_p)


def test_two_items_or_one_value_alone_have_no_order_and_many_have_too_many() -> None:
    assert rank_correlation([]) is None
    assert rank_correlation([([1.0, 2.0], [1.0, 2.0])]) is None
    assert rank_correlation([([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])]) is None
    with pytest.raises(ValueError, match="8 numbers have too many orders"):
        rank_correlation([(range(8), range(8))])
