"""`asapbench check` of a rule from a plug-in: a fault is found by its file's rules, and ends with status 1."""

from __future__ import annotations

from pathlib import Path

from in_process import asapbench

PLANTED = Path(__file__).parents[1] / "analysis" / "certificate" / "planted.py"


def test_weight_transport_in_a_plug_in_is_found() -> None:
    said = asapbench("check", "shared_storage", "--model", "mlp", "--plugin", str(PLANTED))
    assert said.status == 1
    lines = said.out.splitlines()
    assert lines[0] == "shared_storage on mlp(hidden=8): fails"
    failing = [line for line in lines if "FAILS" in line]
    assert [line.split()[:3] for line in failing] == [["transport", "FAILS", "hidden.3:"]]
    assert lines[-1] == "shared_storage on mlp(hidden=8) fails: transport"
