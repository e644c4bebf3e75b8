import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asapbench.report.statistics import Summary, spread_and_count


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
