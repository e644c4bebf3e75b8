import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from asapbench.report.configuration import measured_field
from asapbench.report.statistics import Spread, Summary, spread_and_count
from asapbench.report.table import Footnotes


@given(st.lists(st.floats(0, 100), min_size=2, max_size=30))
def test_mean_and_spread_are_numpys_sample_mean_and_standard_deviation(samples: list[float]) -> None:
    summary = Summary(tuple(samples))
    assert summary.mean == pytest.approx(np.mean(samples), abs=1e-9)
    assert summary.sd == pytest.approx(np.std(samples, ddof=1), abs=1e-9)
    assert summary.n == len(samples)


def test_one_sample_has_no_spread_and_none_has_no_mean() -> None:
    assert (Summary((3.0,)).mean, Summary((3.0,)).sd) == (3.0, None)
    assert (Summary().mean, Summary().sd, Summary().n) == (None, None, 0)


def test_diverged_trainings_are_counted_and_not_averaged_in() -> None:
    summary = Summary((90.0, 92.0), diverged=1)
    assert (summary.mean, summary.n, summary.diverged, summary.ended) == (91.0, 2, 1, 3)


def test_the_caption_names_n_and_that_it_varies() -> None:
    three, one = Summary((1.0, 2.0, 3.0)), Summary((1.0,))
    assert spread_and_count([three, three]).endswith("over n = 3 seeds")
    assert "n = 3 seeds, unless another n is given below" in spread_and_count([three, three, one])
    assert "no spread" in spread_and_count([one])
    assert spread_and_count([]) == "nothing measured yet"


def test_the_samples_are_kept_in_their_order() -> None:
    summary = Summary((92.0, 90.0, 91.0))
    assert summary.samples == (92.0, 90.0, 91.0)
    assert summary.n == 3


SAMPLES = (94.0, 95.0, 97.0, 94.5)


@pytest.mark.parametrize(
    ("spread", "half"),
    [
        (Spread.SD, np.std(SAMPLES, ddof=1)),
        (Spread.SE, scipy.stats.sem(SAMPLES)),
        (Spread.CI, scipy.stats.ttest_1samp(SAMPLES, 0).confidence_interval(0.95).high - np.mean(SAMPLES)),
    ],
)
def test_a_spread_is_scipys_and_stands_behind_the_sign(spread: Spread, half: float) -> None:
    assert spread.ends(Summary(SAMPLES)) == pytest.approx((np.mean(SAMPLES) - half, np.mean(SAMPLES) + half))
    assert measured_field(Summary(SAMPLES), Footnotes(), spread).text == f"95.12 ± {half:.2f}"


def test_a_range_has_its_ends_in_brackets_and_one_sample_has_no_spread() -> None:
    assert measured_field(Summary(SAMPLES), Footnotes(), Spread.RANGE).text == "95.12 (94.00 to 97.00)"
    assert {measured_field(Summary((94.0,)), Footnotes(), spread).text for spread in Spread} == {"94.00"}


@pytest.mark.parametrize(
    ("spread", "said"),
    [
        (Spread.SD, "mean ± sample standard deviation over n = 4 seeds"),
        (Spread.SE, "mean ± standard error of the mean over n = 4 seeds"),
        (Spread.CI, "mean ± half of the 95 % interval of the t distribution over n = 4 seeds"),
        (Spread.RANGE, "mean (smallest to largest) over n = 4 seeds"),
    ],
)
def test_the_caption_names_the_spread_and_n(spread: Spread, said: str) -> None:
    assert spread_and_count([Summary(SAMPLES)], spread=spread) == said
