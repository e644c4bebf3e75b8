"""GPUs by UUID with what is free on them, as nvidia-smi tells; and the slots that `--slots auto` makes of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from asapbench.machine import devices, memory, slots

LINES = ("GPU-aaaa, 81000", "GPU-bbbb, 500", "GPU-cccc, [N/A]", "Some warning of the driver")


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with three GPUs, one of which does not tell its memory, and sixteen cores."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in LINES))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(slots, "cores", lambda: 16)


def test_a_gpu_goes_by_its_uuid_and_tells_what_is_free(gpus) -> None:
    assert [(gpu.uuid, gpu.free_bytes) for gpu in devices.gpus()] == [
        ("GPU-aaaa", 81000 * 2**20),
        ("GPU-bbbb", 500 * 2**20),
        ("GPU-cccc", None),
    ]


def test_auto_makes_as_many_slots_as_cores_let_and_one_where_memory_is_not_told(gpus) -> None:
    found = slots.slots("cuda", count="auto", threads=2)
    assert Counter(slot.gpu for slot in found) == {"GPU-aaaa": 2, "GPU-bbbb": 2, "GPU-cccc": 1}
    assert Counter(slot.memory for slot in slots.slots("cuda:0", count="auto")) == {"GPU-aaaa": 16}
    assert [slot.number for slot in found] == [0, 1, 2, 3, 4]


def test_free_memory_is_reported_for_each_gpu_that_has_slots(gpus) -> None:
    assert slots.free_bytes(slots.slots("cuda", count=2)) == {"GPU-aaaa": 81000 * 2**20, "GPU-bbbb": 500 * 2**20}
    assert slots.free_bytes(slots.slots("cuda:2")) == {}


def test_cpu_slots_share_the_machines_memory_and_are_never_more_than_cores(monkeypatch) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 6)
    found = slots.slots("cpu", count="auto", threads=2)
    assert len(found) == 3
    free = slots.free_bytes(found)
    assert list(free) == ["cpu"]
    assert 0 < free["cpu"] <= memory.available() * 1.5
