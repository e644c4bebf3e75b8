"""Whatever state a worker is in, it ends with the run that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import recorded, run_with, start, wait_until, workers, write_suite

from asapbench.worker import orphan

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on other systems a worker that hangs detects nothing")

KILL_THE_RUN_AND_HANG = """
import sys
if "asapbench.worker.main" in sys.orig_argv:
    import ctypes, os, signal
    from asapbench.training.trainer import Trainer

    def hang(self):
        os.kill(os.getppid(), signal.SIGKILL)
        ctypes.PyDLL(None).sleep(600)  # a PyDLL's functions keep the interpreter's lock

    Trainer.steps = hang
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One with the small suite. Workers that are left there after the test are killed."""
    write_suite(tmp_path)
    yield tmp_path
    for pid in workers(tmp_path):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.faults
def test_workers_that_were_stopped_end_when_their_run_is_killed(folder: Path) -> None:
    process = start(folder, "run", "small.toml", "--slots", "2")
    wait_until(lambda: recorded(folder) >= 1 and len(workers(folder)) == 2, "two workers")
    for pid in workers(folder):
        os.kill(pid, signal.SIGSTOP)
    process.kill()
    process.communicate()
    wait_until(lambda: not workers(folder), "the stopped workers to end with their parent")


@pytest.mark.faults
def test_a_worker_that_lets_no_other_thread_run_ends_when_its_run_is_killed(folder: Path) -> None:
    done = run_with(folder, KILL_THE_RUN_AND_HANG, "run", "small.toml", "--slots", "1")
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    wait_until(lambda: not workers(folder), "the hanging worker to end with its parent")


def test_a_process_whose_parent_is_gone_before_it_could_ask_does_not_begin() -> None:
    gone = str(os.getpid() + 1)  # not the parent of what this process starts
    command = [sys.executable, "-m", orphan.__name__, gone, "this"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_a_module_run_so_is_the_main_one_and_its_output_and_status_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text("if __name__ == '__main__':\n    print('began')\n    raise SystemExit(7)\n")
    command = [sys.executable, "-m", orphan.__name__, str(os.getpid()), "child"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "began\n"), done.stderr
