"""Several cells on one GPU: as many as its free memory has room for, the GPU named by its UUID."""

from __future__ import annotations

import subprocess

import pytest
import torch
from small_runs import query, run, write_suite

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


def test_cells_share_a_gpu_and_their_peaks_are_measured_and_used(tmp_path) -> None:
    write_suite(tmp_path)
    output = run(tmp_path, "run", "small.toml", "--device", "cuda:0", "--slots", "auto")
    assert "Ended: 4 done" in output
    smi = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    uuids = subprocess.run(smi, capture_output=True, text=True, check=True).stdout.split()
    assert {device for (device,) in query(tmp_path, "SELECT device FROM attempt")} <= {f"cuda {uuid}" for uuid in uuids}
    peaks = query(tmp_path, "SELECT min(peak_memory_bytes), max(peak_memory_bytes) FROM epoch_metrics")
    assert 0 < peaks[0][0] <= peaks[0][1] < 2**30
    # Measured peaks are far below the estimates, so a second run has all four beside each other, if cores allow.
    assert "Ended: 4 done" in run(tmp_path, "rerun", "small", "--device", "cuda:0", "--slots", "auto")
