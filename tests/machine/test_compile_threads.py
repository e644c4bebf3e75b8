"""Torch's compiler uses the cores that slots leave to each other: the machine's, or a container's limit, shared out."""

from __future__ import annotations

from pathlib import Path

import pytest

from asapbench.analysis.speed import bench
from asapbench.machine import control_groups, slots
from asapbench.machine.slots import Slot
from asapbench.running.assignment import Assignment, Options
from asapbench.store import Claim
from asapbench.suite.load import load
from asapbench.worker.files import Files

CELL = load("quickstart").cells[0]


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of sixteen cores whose files on control groups are the test's."""
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "_MINE", tmp_path / "mine")
    monkeypatch.setattr(slots.os, "sched_getaffinity", lambda _: range(16))
    return tmp_path / "groups"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(("count", "threads", "each"), [(1, 1, 16), (3, 1, 5), (None, 1, 1), (4, 2, 4), (40, 1, 1)])
def test_slots_share_the_cores(groups: Path, count: int | None, threads: int, each: int) -> None:
    found = slots.slots("cpu", count=count, threads=threads)
    assert {slot.compile_threads for slot in found} == {each}


def test_a_slot_has_no_more_than_torch_takes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 192)
    assert slots.slots("cpu", count=2)[0].compile_threads == 32


@pytest.mark.parametrize(
    ("mine", "files", "cores"),
    [
        ("0::/job/step\n", {"job/cpu.max": "650000 100000\n", "job/step/cpu.max": "max 100000\n"}, 6),
        ("0::/job\n", {"job/cpu.max": "50000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/box\n0::/\n",
            {"cpu,cpuacct/box/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "3:cpu,cpuacct:/box\n",
            {"cpu,cpuacct/box/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n"},
            16,
        ),
        ("", {}, 16),
    ],
)
def test_a_containers_limit_of_processor_time_counts(
    groups: Path, mine: str, files: dict[str, str], cores: int
) -> None:
    write(control_groups._MINE, mine)
    for name, text in files.items():
        write(groups / name, text)
    assert slots.cores() == cores
    assert len(slots.slots("cpu")) == cores


def test_a_worker_gets_its_slots_share(tmp_path: Path) -> None:
    assignment = Assignment(CELL, Claim("a", CELL.id, "l", 1, None), None)
    options = Options(data=tmp_path, files=Files(tmp_path))
    assert assignment.command(Slot(0, "cpu", compile_threads=5), options).settings.compile_threads == 5


def test_bench_prepares_one_process_after_the_other_and_gives_it_every_core(groups: Path, tmp_path: Path) -> None:
    row = bench._Row(CELL, bench.Bench(), slots.slots("cpu", count=4), tmp_path)
    assert row._prepare_command("own").settings.compile_threads == 16
