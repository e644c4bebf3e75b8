"""An option may exclude its limit: weight_mirror's noise and rate are greater than zero, for zero mirrors nothing."""

from __future__ import annotations

import pytest

from asapbench.suite.catalog import RULES


@pytest.mark.parametrize("name", ["amplitude", "eta"])
def test_zero_is_refused_and_a_small_number_is_not(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be greater than 0, not 0.0"):
        RULES["weight_mirror"].choose({name: 0})
    assert dict(RULES["weight_mirror"].choose({name: 1e-6}).options)[name] == 1e-6
