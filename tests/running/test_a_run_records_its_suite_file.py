"""The text of a suite's file is in the database after a run, and stays there when the run is resumed without it."""

from pathlib import Path

import pytest
from small_runs import query, run, write_suite

TEXT = """\
[suite]
name = "small"
title = "A title of my own"
[defaults]
dataset = { name = "digits", train_size = 64 }
epochs = 1
[[grid]]
model = { name = "resnet10", width = 2 }
lr = { bp = 3e-2 }
"""


@pytest.mark.slow
def test_run_records_the_text_and_resume_keeps_it(tmp_path: Path) -> None:
    path = write_suite(tmp_path, TEXT)
    run(tmp_path, "run", "small.toml", "--set", "epochs=2")
    assert query(tmp_path, "SELECT text FROM suite") == [(TEXT,)]
    path.unlink()
    run(tmp_path, "rerun", "small")
    assert query(tmp_path, "SELECT text FROM suite") == [(TEXT,)]
    printed = run(tmp_path, "report", "--suite", "small")
    assert printed.startswith("A title of my own (suite small)\n")
    assert "[a] deviates from the suite file: epochs 2 instead of 1" in printed
