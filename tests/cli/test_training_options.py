"""What is asked of `run`, `resume` and `rerun` reaches the run."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from asapbench.cli.options import Training
from asapbench.cli.run import _request

OTHERWISE = {
    "data": Path("data"),
    "files": Path("files"),
    "device": "cpu",
    "slots": "3",
    "threads": 2,
    "executor": "ray",
    "address": "head:6379",
    "time_limit": "90s",
    "checkpoint_every": "1s",
    "fail_fast": True,
    "hang_after": "3m",
}


# The options of Slurm go to sbatch, which then starts a run without them.
@pytest.mark.parametrize("name", [field.name for field in fields(Training) if field.name != "slurm"])
def test_an_option_changes_the_request(name: str) -> None:
    usual = Training(executor="ray") if name == "address" else Training()
    value = OTHERWISE.get(name, getattr(usual, name))
    if name not in OTHERWISE:
        value = not value if isinstance(value, bool) else (value or 0) + 7
    assert _request(replace(usual, **{name: value}), db="x") != _request(usual, db="x")
