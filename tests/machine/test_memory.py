"""The memory there is counts the control group's limit; whether the kernel killed a worker for memory is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from asapbench.machine import control_groups, memory

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose files on control groups are the test's."""
    monkeypatch.setattr(control_groups, "_GROUPS", tmp_path / "_GROUPS")
    monkeypatch.setattr(control_groups, "_MINE", tmp_path / "_MINE")
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "_MACHINE")
    write(tmp_path / "_MACHINE", "pgfault 12\noom_kill 5\n")
    return tmp_path / "_GROUPS"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_it_is_what_the_machine_has(groups) -> None:
    import psutil

    assert memory.available() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert memory.kernel_kills() == 5


def test_the_tightest_group_around_this_process_counts_and_files_read_do_not(groups) -> None:
    write(control_groups._MINE, "0::/job/step\n")
    write(groups / "job/memory.max", f"{GIB}\n")
    write(groups / "job/memory.current", f"{GIB // 2}\n")
    write(groups / "job/memory.stat", f"anon 7\ninactive_file {GIB // 4}\n")
    write(groups / "job/step/memory.max", "max\n")
    write(groups / "job/step/memory.current", "0\n")
    assert memory.available() == GIB // 2 + GIB // 4


def test_the_first_version_of_control_groups_is_read_as_well(groups) -> None:
    write(control_groups._MINE, "4:memory:/box\n3:cpu:/other\n0::/\n")
    write(groups / "memory/box/memory.limit_in_bytes", f"{GIB // 8}\n")
    write(groups / "memory/box/memory.usage_in_bytes", f"{GIB // 16}\n")
    write(groups / "memory/box/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert memory.available() == GIB // 16
    assert memory.kernel_kills() == 3


def test_each_kill_of_the_kernel_accounts_for_one_worker(groups) -> None:
    write(control_groups._MINE, "0::/job\n")
    events = groups / "job/memory.events"
    write(events, "oom 1\noom_kill 1\noom_group_kill 0\n")
    kills = memory.KernelKills()
    assert not kills.attribute_one()
    write(events, "oom 3\noom_kill 3\noom_group_kill 0\n")
    assert [kills.attribute_one() for _ in range(3)] == [True, True, False]


@pytest.mark.faults
@pytest.mark.parametrize("grown", [True, False])
def test_a_worker_killed_while_the_kernels_count_grew_is_out_of_memory(grown: bool, groups, tmp_path) -> None:
    import queue

    from asapbench.machine.slots import Slot
    from asapbench.worker.process import WorkerProcess

    worker = WorkerProcess(Slot(0, "cpu"), log=tmp_path / "log", inbox=queue.SimpleQueue())
    if grown:
        write(memory._MACHINE, "oom_kill 6\n")
    os.kill(worker.pid, signal.SIGKILL)
    cause = worker.cause_of_end()
    worker.close()
    assert cause.how == ("out_of_memory" if grown else "killed")
    assert "SIGKILL" in cause.text
