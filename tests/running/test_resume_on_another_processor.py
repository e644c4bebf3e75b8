"""A cell with fixed feedback that is resumed on another processor ends, and is marked as not bit-exact."""

from __future__ import annotations

import pytest
from small_runs import SUITE, query, recorded, run, start, wait_until, write_suite

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("rule", "variable", "value"),
    [("fa", "ATEN_CPU_CAPABILITY", "default"), ("asap", "MKL_CBWR", "COMPATIBLE")],
)
def test_the_fixed_feedback_is_the_same_there(rule: str, variable: str, value: str, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv(variable, raising=False)
    suite = SUITE.replace("bp = 3e-2, asap", rule).replace("[0, 1]", "[0]")
    write_suite(tmp_path, suite)
    assert f"lr = {{ {rule} = 1e-2 }}" in suite
    process = start(tmp_path, "run", "small.toml", "--set", "epochs=6")
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 3
    monkeypatch.setenv(variable, value)
    output = run(tmp_path, "resume")
    assert "Ended: 1 done" in output
    assert "not bit-exact from here" in output
    assert f"{variable} not set, now {value}" in output
    assert query(tmp_path, "SELECT bit_exact FROM attempt WHERE state = 'done'") == [(0,)]
