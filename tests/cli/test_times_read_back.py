"""A time that is printed is read as the same float."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asapbench.cli.options import seconds, time_text


@given(st.floats(min_value=0, max_value=8.64e9, exclude_min=True, exclude_max=True))
@example(1e-5)
@example(1234567.891)
@example(8639999999.0)
@example(5e-324)
def test_every_time_reads_back(time: float) -> None:
    text = time_text(time)
    assert text is not None
    assert seconds(text, "--time-limit") == time


@pytest.mark.parametrize(
    ("time", "text"),
    [(600.0, "10m"), (172_800.0, "2d"), (90.0, "90s"), (1e-5, "0.00001s"), (1234567.891, "1234567.891s")],
)
def test_it_has_no_exponent(time: float, text: str) -> None:
    assert time_text(time) == text
