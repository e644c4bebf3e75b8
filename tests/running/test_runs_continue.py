"""Real runs continue after an error, a lack of memory or a worker that hangs, and end with the undisturbed bits."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import curves, query, recorded, run, run_with, start, wait_until, workers, write_suite

from asapbench.running.admission import Admission
from asapbench.suite.load import load

pytestmark = pytest.mark.slow

IN_WORKERS = """
import sys

if "asapbench.worker.main" in sys.orig_argv:
    from pathlib import Path
    from asapbench.training.trainer import Trainer
    steps, marks = Trainer.steps, Path("marks")

    def faulty(self):
        {fault}
        steps(self)

    Trainer.steps = faulty
"""
FIRST_TIME = """mark = marks / self.cell.id
        if self.progress.epoch == 1 and not mark.exists():
            mark.touch()
            {then}"""


def in_workers(fault: str, *, first_time: bool = True) -> str:
    return IN_WORKERS.format(fault=FIRST_TIME.format(then=fault) if first_time else fault)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_suite(tmp_path)
    (tmp_path / "marks").mkdir()
    return tmp_path


def states(folder: Path) -> list[tuple[str, ...]]:
    """The states of each cell's attempts, in order."""
    rows = query(folder, "SELECT cell_id, state FROM attempt ORDER BY cell_id, number")
    return [tuple(state for cell, state in rows if cell == one) for one in dict.fromkeys(cell for cell, _ in rows)]


def of_bp(undisturbed: tuple[Path, list[tuple]]) -> list[tuple]:
    cells = {cell for (cell,) in query(undisturbed[0], "SELECT id FROM cell WHERE rule = 'bp'")}
    return [row for row in undisturbed[1] if row[0] in cells]


def test_a_cell_that_fails_once_resumes_its_checkpoint_to_the_same_bits(undisturbed, folder) -> None:
    code = in_workers("raise OSError(28, 'No space left on device')")
    done = run_with(folder, code, "run", "small.toml", "--only", "rule=bp", "--slots", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(folder) == [("failed", "done")] * 2
    assert "No space left on device" in done.stdout
    assert "retry in 1 s" in done.stdout
    assert "Ended: 2 done" in done.stdout
    assert curves(folder) == of_bp(undisturbed)


def test_a_cell_that_always_fails_is_given_up_and_its_state_can_be_asked_for(folder) -> None:
    code = in_workers("if self.cell.seed == 1: raise ValueError('always')", first_time=False)
    options = ("--only", "rule=bp", "--set", "epochs=1", "--slots", "1")
    done = run_with(folder, code, "run", "small.toml", *options, "--retries", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert sorted(states(folder)) == [("done",), ("failed", "failed", "failed")]
    assert "Ended: 1 done, 1 failed" in done.stdout
    (cell,) = query(folder, "SELECT DISTINCT cell_id FROM attempt WHERE state = 'failed'")[0]
    assert "ValueError: always" in run(folder, "show", cell[:10], traceback=True)
    assert "No cell is in such a state" in run(folder, "resume", "--only-state", "interrupted,out_of_memory")
    assert "1 of 1 cell to train" in run(folder, "resume", "--only-state", "failed", "--slots", "1")
    assert sorted(states(folder)) == [("done",), ("failed", "failed", "failed", "done")]


def test_cells_that_do_not_fit_beside_each_other_train_one_after_the_other(undisturbed, folder) -> None:
    # A step runs out of memory while another worker of this run is training, as it would on a full GPU.
    fault = """import os, psutil
        (marks / str(os.getpid())).touch()
        others = [int(mark.name) for mark in marks.iterdir() if mark.name != str(os.getpid())]
        if any(map(psutil.pid_exists, others)):
            raise RuntimeError('CUDA error: out of memory')"""
    done = run_with(
        folder, in_workers(fault, first_time=False), "run", "small.toml", "--only", "rule=bp", "--slots", "2"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert curves(folder) == of_bp(undisturbed)
    found = states(folder)
    assert ("out_of_memory", "done") in found
    assert set(found) <= {("out_of_memory", "done"), ("done",)}
    assert "retry, alone on its device" in done.stdout


@pytest.mark.faults
def test_a_worker_that_hangs_is_killed_and_its_cell_ends_with_the_same_bits(undisturbed, folder) -> None:
    process = start(folder, "run", "small.toml", "--slots", "2", "--hang-after", "20s")
    wait_until(lambda: recorded(folder) >= 1, "an epoch")
    os.kill(workers(folder)[0], signal.SIGSTOP)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "sent nothing for too long (--hang-after) and was killed" in output
    assert curves(folder) == undisturbed[1]
    assert not workers(folder)
    assert "--hang-after" in query(folder, "SELECT error FROM attempt WHERE state = 'interrupted'")[0][0]


@pytest.mark.faults
def test_a_runner_that_was_stopped_itself_kills_nobody_when_it_wakes(undisturbed, folder) -> None:
    process = start(folder, "run", "small.toml", "--slots", "2", "--hang-after", "10s")
    wait_until(lambda: recorded(folder) >= 1, "an epoch")
    for pid in (process.pid, *(stopped := workers(folder))):
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=25)
    for pid in (process.pid, *stopped):
        os.kill(pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "--hang-after" not in output
    assert states(folder) == [("done",)] * 4
    assert curves(folder) == undisturbed[1]


def test_slots_auto_gives_the_same_bits_and_estimates_are_above_what_was_measured(undisturbed, folder) -> None:
    output = run(folder, "run", "small.toml", "--slots", "auto", "--seeds", "0")
    assert "Ended: 2 done" in output
    cells = {cell for (cell,) in query(folder, "SELECT id FROM cell")}
    assert curves(folder) == [row for row in undisturbed[1] if row[0] in cells]
    peaks = query(folder, "SELECT max(peak_memory_bytes) FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id")
    estimate = Admission().needs(load(str(folder / "small.toml")).cells[0])
    assert peaks[0][0] < estimate < 4 * peaks[0][0]


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group with two gigabytes; it needs root and the first version of control groups."""
    group = Path("/sys/fs/cgroup/memory") / f"asapbench-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("2G")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield group
    finally:
        group.rmdir()


@pytest.mark.faults
def test_a_worker_that_the_kernel_kills_for_memory_is_tried_again_alone(small_memory, undisturbed, folder) -> None:
    # The run starts inside the group: the first thing that its Python does is to enter it.
    enter = f"open('{small_memory}/cgroup.procs', 'w').write('0')\n"
    hungry = in_workers("self.hungry = [b'x' * 2**28 for _ in range(16)]")
    done = run_with(folder, enter + hungry, "run", "small.toml", "--only", "rule=bp", "--slots", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "out-of-memory killer" in done.stdout
    assert ("out_of_memory", "done") in states(folder)
    assert curves(folder) == of_bp(undisturbed)
