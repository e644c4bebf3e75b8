"""A worker that may take no more memory costs its cell an attempt with a traceback, and no other cell anything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from campaign import SLOTS
from small_runs import query, recorded, run, start, wait_until, workers, write_suite

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set as on Linux"),
]
SUITE = """
[suite]
name = "small"
[defaults]
dataset = { name = "digits", train_size = 1280 }
rule = "bp"
lr = 0.03
[[grid]]
model = { name = "resnet10", width = 2 }
batch_size = 16
epochs = 6 # time enough to set the limit in
[[grid]]
model = { name = "resnet10", width = 64 }
batch_size = 1280
epochs = 1
[[grid]]
model = { name = "resnet10", width = 2 }
batch_size = 32
epochs = 1
"""
LITTLE = 100_000_000


def test_it_is_reported_and_the_others_continue(tmp_path: Path) -> None:
    import resource

    import psutil

    write_suite(tmp_path, SUITE)
    process = start(tmp_path, "run", "small.toml", *SLOTS[2:], "--slots", "1")
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    (worker,) = workers(tmp_path)
    limit = psutil.Process(worker).memory_info().vms + LITTLE
    resource.prlimit(worker, resource.RLIMIT_AS, (limit, limit))
    output, _ = process.communicate(timeout=300)
    assert process.returncode in (0, 1), output
    ((cell, error),) = query(
        tmp_path, "SELECT cell_id, error FROM attempt WHERE state = 'out_of_memory' AND number = 1"
    )
    assert "Traceback" in error
    assert "memory" in error
    assert "DefaultCPUAllocator" in run(tmp_path, "show", cell[:10], traceback=True)
    small = "SELECT state FROM attempt JOIN cell ON cell.id = cell_id WHERE batch_size < 1280"
    assert query(tmp_path, small) == [("done",), ("done",)]
    run(tmp_path, "resume", "--slots", "1")
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'done'") == [(3,)]
