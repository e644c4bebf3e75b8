"""Slots: CPU cores, or GPUs by UUID as nvidia-smi lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from asapbench.errors import SuiteError
from asapbench.machine.slots import cores, slots

UUIDS = ["GPU-aaaa", "GPU-bbbb", "GPU-cccc"]


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with three GPUs: a program called nvidia-smi that lists them."""
    program = tmp_path / "nvidia-smi"
    lines = "\n".join(f"echo {uuid}" for uuid in UUIDS)
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_without_gpus_each_core_is_a_slot_of_one_thread(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = slots()
    assert [slot.device for slot in found] == ["cpu"] * cores()
    environment = found[0].environment()
    assert (environment["OMP_NUM_THREADS"], environment["CUDA_VISIBLE_DEVICES"]) == ("1", "")
    assert [slot.threads for slot in slots("cpu", count=3, threads=2)] == [2, 2, 2]


def test_a_cpus_worker_keeps_its_pages_unless_the_user_says_otherwise(gpus, monkeypatch) -> None:
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    environment = slots("cpu", count=1)[0].environment()
    assert (environment["MALLOC_MMAP_THRESHOLD_"], environment["MALLOC_TRIM_THRESHOLD_"]) == ("65536", str(2**32))
    assert "MALLOC_TRIM_THRESHOLD_" not in slots("cuda:0")[0].environment()


def test_all_gpus_are_slots_and_workers_are_confined_by_uuid(gpus) -> None:
    found = slots()
    assert [slot.gpu for slot in found] == UUIDS
    assert found[1].environment()["CUDA_VISIBLE_DEVICES"] == "GPU-bbbb"
    assert [slot.gpu for slot in slots(count=2)] == [uuid for uuid in UUIDS for _ in range(2)]
    assert [slot.gpu for slot in slots("cuda:2")] == ["GPU-cccc"]
    assert [slot.device for slot in slots("cpu", count=1)] == ["cpu"]


@pytest.mark.parametrize(("visible", "left"), [("2,0", ["GPU-cccc", "GPU-aaaa"]), ("GPU-bb", ["GPU-bbbb"]), ("7", [])])
def test_visible_devices_are_respected(gpus, monkeypatch, visible: str, left: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if left:
        assert [slot.gpu for slot in slots("cuda")] == left
    else:
        with pytest.raises(SuiteError, match="no NVIDIA GPU is visible"):
            slots("cuda")


@pytest.mark.parametrize(
    ("device", "options", "says"),
    [
        ("gpu", {}, "choose auto, cpu, cuda"),
        ("cuda:9", {}, "there are 3 GPUs"),
        ("cuda:x", {}, "cuda:N"),
        ("mps", {}, "not a Mac"),
        ("cpu", {"count": 0}, "--slots 0"),
        ("cpu", {"threads": 0}, "--threads 0"),
    ],
)
def test_a_device_that_is_not_here_is_refused(gpus, device: str, options: dict, says: str) -> None:
    with pytest.raises(SuiteError, match=says):
        slots(device, **options)
