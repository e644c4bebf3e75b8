"""What a cell has used and nothing uses any more is returned to the system."""

import platform
from pathlib import Path

import pytest
import torch

from asapbench.training.environment import release_memory


def _resident() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_tensors_below_one_that_lives_leave_memory() -> None:
    tensors = [torch.ones(25_000) for _ in range(2_000)]  # 100 kB each: in the heap, not mapped one by one
    held = _resident()
    del tensors[:-1]
    release_memory(torch.device("cpu"))
    assert held - _resident() > 150_000_000
