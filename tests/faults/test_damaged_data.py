"""A data file that was damaged on disk ends its cells before they train, with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import query, run, write_suite

from asapbench.data.sets.mnist import entry

pytestmark = pytest.mark.faults
SUITE = """
[suite]
name = "small"
[[grid]]
dataset = ["mnist", { name = "digits", train_size = 64 }]
model = { name = "resnet10", width = 2 }
rule = "bp"
lr = 0.03
epochs = 1
batch_size = 16
"""


def test_it_fails_with_the_name_of_the_file_and_others_train_on(tmp_path: Path) -> None:
    write_suite(tmp_path, SUITE)
    for file in entry.files:
        place = tmp_path / "data" / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as empty:
            empty.truncate(file.size)  # the right size, and not the right bytes
    output = run(tmp_path, "run", "small.toml", "--data", "data", "--slots", "1", "--retries", "0", status=1)
    assert "Ended: 1 done, 1 failed" in output
    ((cell, error),) = query(tmp_path, "SELECT cell_id, error FROM attempt WHERE state = 'failed'")
    assert entry.files[0].path in error
    assert "damaged (checksum)" in error
    assert error.strip() in run(tmp_path, "show", cell[:10], traceback=True)
    assert query(tmp_path, "SELECT dataset FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id "
                           "JOIN cell ON cell.id = cell_id") == [("digits",)]  # fmt: skip
