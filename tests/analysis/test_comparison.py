import warnings
from collections.abc import Sequence
from itertools import product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asapbench.analysis.comparison import Interval, PairedTest, holm, smallest_exact_p

SLEEP = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0), (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)
"""Student (1908), Biometrika 6, p. 20: additional hours of sleep of ten patients with two drugs."""
DIFFERENCES = tuple(b - a for a, b in zip(*SLEEP, strict=True))


def test_students_own_example_has_the_published_t_test() -> None:
    """t = 4.0621 with 9 degrees of freedom, p = 0.002833, interval 0.7001 to 2.4599: as printed by R's t.test."""
    assert PairedTest.T.p(DIFFERENCES) == pytest.approx(0.002833, abs=5e-7)
    assert Interval.T.of(DIFFERENCES) == pytest.approx((0.7001142, 2.4598858), abs=5e-8)


@given(st.lists(st.integers(-500, 500), min_size=2, max_size=12).filter(lambda values: len(set(values)) > 1))
def test_the_t_test_and_its_interval_are_those_of_scipy_stats(hundredths: list[int]) -> None:
    differences = [one / 100 for one in hundredths]
    expected = stats.ttest_1samp(differences, 0.0)
    assert PairedTest.T.p(differences) == pytest.approx(expected.pvalue, rel=1e-9)
    assert Interval.T.of(differences) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9, abs=1e-9)


def by_enumeration(differences: Sequence[float]) -> float:
    """The signed-rank test from its definition: how many of all 2^n signs give a sum as far from the middle."""
    ranks = stats.rankdata([abs(one) for one in differences])
    middle = sum(ranks) / 2
    observed = abs(sum(rank for rank, one in zip(ranks, differences, strict=True) if one > 0) - middle)
    sums = [
        sum(r for r, is_positive in zip(ranks, signs, strict=True) if is_positive)
        for signs in product((False, True), repeat=len(ranks))
    ]
    return fmean(abs(one - middle) >= observed - 1e-9 for one in sums)


@pytest.mark.parametrize(
    "differences", [(1.0, 2.0, 3.0, 4.0, 5.0), (0.5, 0.5, 1.0, -0.25, 0.75), (1.0, -2.0, 3.0, 3.0), (1.0, 1.0, 1.0)]
)
def test_the_signed_rank_test_is_exact_with_ties_too(differences: tuple[float, ...]) -> None:
    assert PairedTest.WILCOXON.p(differences) == pytest.approx(by_enumeration(differences))


def test_differences_that_differ_by_rounding_are_ties() -> None:
    rounded = (90.3 - 90.2, 0.1, -(70.4 - 70.3), 0.3)
    assert len({abs(one) for one in rounded}) == 4
    assert PairedTest.WILCOXON.p(rounded) == pytest.approx(by_enumeration((0.1, 0.1, -0.1, 0.3)))


def test_equal_pairs_take_no_part_in_the_signed_rank_test() -> None:
    assert PairedTest.WILCOXON.p((0.0, 1.0, 2.0, 3.0)) == PairedTest.WILCOXON.p((1.0, 2.0, 3.0)) == 0.25
    assert PairedTest.WILCOXON.smallest_p((0.0, 1.0, 2.0, 3.0)) == 0.25


def test_a_single_pair_that_is_not_equal_is_no_evidence() -> None:
    assert PairedTest.WILCOXON.p((0.0, 0.0, 1.0)) == by_enumeration((1.0,)) == 1.0


def test_the_smallest_p_of_very_many_differences_is_a_number() -> None:
    assert smallest_exact_p(1_024) == 2.0**-1023
    assert smallest_exact_p(5_000) == 0.0


@pytest.mark.parametrize("n", range(2, 8))
def test_the_smallest_p_that_n_allows_is_reached_when_all_differences_have_one_sign(n: int) -> None:
    differences = [1.0 + place / 10 for place in range(n)]
    assert PairedTest.WILCOXON.p(differences) == pytest.approx(smallest_exact_p(n))
    assert PairedTest.WILCOXON.smallest_p(differences) == smallest_exact_p(n)
    assert PairedTest.T.smallest_p(differences) == 0.0


@pytest.mark.parametrize("test", PairedTest)
def test_one_difference_allows_no_test_and_no_interval_and_zeros_are_no_evidence(test: PairedTest) -> None:
    assert test.p((1.0,)) is None
    assert test.p(()) is None
    assert test.p((0.0, 0.0, 0.0)) == 1.0
    assert Interval.T.of((1.0,)) is None
    assert Interval.BOOTSTRAP.of((1.0,)) is None


def test_equal_differences_that_are_not_0_allow_no_t_test_even_if_they_differ_by_rounding() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PairedTest.T.p((90.1 - 90.0, 80.1 - 80.0, 70.1 - 70.0)) is None
        assert Interval.BOOTSTRAP.of((2.0, 2.0, 2.0)) == (2.0, 2.0)


def test_the_bootstrap_interval_is_the_same_each_time_and_near_the_t_interval_of_many_values() -> None:
    values = [float(value) for value in stats.norm(1.0, 0.5).ppf([(place + 0.5) / 60 for place in range(60)])]
    assert Interval.BOOTSTRAP.of(values) == Interval.BOOTSTRAP.of(values)
    assert Interval.BOOTSTRAP.of(values) == pytest.approx(Interval.T.of(values), abs=0.02)


def test_holm_corrects_the_example_of_the_textbooks() -> None:
    """p 0.01, 0.04, 0.03, 0.005: times 4, 3, 2, 1 from the smallest, and never below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def by_closure(ps: list[float]) -> list[float]:
    """Holm by its other definition: the closed test procedure with Bonferroni's test of each intersection."""
    subsets = [[place for place in range(len(ps)) if mask >> place & 1] for mask in range(1, 2 ** len(ps))]
    bonferroni = {tuple(one): min(1.0, len(one) * min(ps[place] for place in one)) for one in subsets}
    return [max(p for subset, p in bonferroni.items() if place in subset) for place in range(len(ps))]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_by_bonferroni(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(by_closure(ps))
