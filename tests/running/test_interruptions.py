"""A run that is stopped or killed, however and whenever, is resumed to the same bits; no process is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from small_runs import curves, query, recorded, run, run_with, start, wait_until, workers, write_suite

pytestmark = pytest.mark.slow

DONE_TWICE = "SELECT cell_id FROM attempt WHERE state = 'done' GROUP BY cell_id HAVING count(*) > 1"
LONG = ("--set", "epochs=3", "--slots", "2", "--checkpoint-every", "0.2s")
KILLED_WHILE_IT_WRITES = """
import os, signal, threading, time

sync, syncs = os.fsync, 0

def fsync(descriptor):
    global syncs
    if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".part"):
        syncs += 1
        if syncs == 4 and not os.path.exists("killed"):
            time.sleep(0.3)
            with open("killed", "w") as file:
                file.write(threading.current_thread().name)
            os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)

os.fsync = fsync
"""


def begin(folder: Path, *more: str):
    write_suite(folder)
    return start(folder, "run", "small.toml", *LONG, *more)


def finish_and_compare(folder: Path, expected: list[tuple]) -> None:
    run(folder, "resume", "--slots", "2")
    assert curves(folder) == expected
    assert query(folder, "PRAGMA integrity_check") == [("ok",)]
    assert query(folder, DONE_TWICE) == []


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(2))
def test_kill_nine_of_everything_at_a_random_moment(seed: int, undisturbed, tmp_path) -> None:
    chance = random.Random(seed)
    process = begin(tmp_path)
    wait_until(lambda: recorded(tmp_path) >= chance.randrange(1, 8), "some epochs")
    victims = workers(tmp_path) if seed % 2 else []
    process.kill()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not workers(tmp_path), "the workers to end with their parent")
    before = curves(tmp_path)
    finish_and_compare(tmp_path, undisturbed[1])
    assert set(before) <= set(curves(tmp_path))


@pytest.mark.faults
def test_a_worker_that_is_killed_costs_nothing_but_time(undisturbed, tmp_path) -> None:
    process = begin(tmp_path)
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    os.kill(workers(tmp_path)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "Ended: 4 done" in output
    assert "killed by SIGKILL" in output
    assert curves(tmp_path) == undisturbed[1]
    assert "SIGKILL" in query(tmp_path, "SELECT error FROM attempt WHERE state = 'interrupted'")[0][0]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="which file is synced is read from /proc")
def test_a_worker_that_is_killed_while_its_thread_writes_a_checkpoint_is_resumed_to_the_same_bits(
    undisturbed, tmp_path
) -> None:
    write_suite(tmp_path)
    one = ("--only", "rule=asap", "--seeds", "0", "--slots", "1", "--checkpoint-every", "0.1s")
    done = run_with(tmp_path, KILLED_WHILE_IT_WRITES, "run", "small.toml", *one)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "killed").read_text().startswith("checkpoints")
    assert query(tmp_path, "SELECT state FROM attempt ORDER BY number") == [("interrupted",), ("done",)]
    assert "resumes after epoch" in done.stdout
    assert curves(tmp_path) == [row for row in undisturbed[1] if row[0] == curves(tmp_path)[0][0]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_stops_cleanly_and_names_the_command_to_resume(number: int, undisturbed, tmp_path) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # a run ignores a hang-up that was ignored before, as under nohup
    process = begin(tmp_path)
    signal.signal(number, before)
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "Stopped (signal). To resume: asapbench resume small" in output
    assert not workers(tmp_path)
    assert query(tmp_path, "SELECT count(*) FROM attempt WHERE state = 'running'") == [(0,)]
    if number == signal.SIGINT:  # all are heard alike: what comes after one comes after each
        finish_and_compare(tmp_path, undisturbed[1])


def test_ctrl_c_answers_at_once_and_a_second_one_keeps_what_the_checkpoints_hold(undisturbed, tmp_path) -> None:
    process = begin(tmp_path)
    running = "SELECT count(*) FROM attempt WHERE state = 'running'"
    wait_until(lambda: recorded(tmp_path) >= 1 and query(tmp_path, running) == [(2,)], "an epoch beside another cell")
    for pid in workers(tmp_path):
        os.kill(pid, signal.SIGSTOP)  # what is printed does not wait for a worker, but the end does
    process.send_signal(signal.SIGINT)
    line = next(line for line in process.stdout if line.startswith("Stopping (signal): "))
    assert len(workers(tmp_path)) == 2
    assert "2 cells finish their step and write a checkpoint, where `resume` continues" in line
    assert "Ctrl-C again stops at once" in line
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGINT)
    # Epochs that the workers had sent before they were stopped may be printed first.
    assert any("stopped at once by a second signal" in line for line in process.stdout)
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert not workers(tmp_path)
    finish_and_compare(tmp_path, undisturbed[1])


def test_one_time_limit_after_another_ends_with_the_same_bits(undisturbed, tmp_path) -> None:
    write_suite(tmp_path)
    # How long workers take to start is the machine's affair. The first limit is over before torch is imported, the
    # later ones, from 6 seconds, fall wherever they fall.
    limit = 1.0
    output = run(tmp_path, "run", "small.toml", "--slots", "2", "--time-limit", f"{limit}s", status=3)
    assert "Stopped (time limit). To resume: asapbench resume small" in output
    for doubled in range(8):
        limit = 6.0 * 2**doubled
        process = start(tmp_path, "resume", "--slots", "2", "--time-limit", f"{limit}s")
        output, _ = process.communicate(timeout=600)
        if process.returncode == 0:
            break
        assert process.returncode == 3, output
    assert curves(tmp_path) == undisturbed[1]


def test_two_runs_of_one_database_train_each_cell_once(undisturbed, tmp_path) -> None:
    first = begin(tmp_path)
    second = start(tmp_path, "run", "small.toml", *LONG)
    outputs = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    assert curves(tmp_path) == undisturbed[1]
    assert query(tmp_path, "SELECT state, count(*) FROM attempt GROUP BY state") == [("done", 4)]


def test_a_lost_checkpoint_begins_the_cell_from_scratch(undisturbed, tmp_path) -> None:
    process = begin(tmp_path)
    wait_until(lambda: recorded(tmp_path) >= 2, "two epochs")
    process.kill()
    process.communicate()
    wait_until(lambda: not workers(tmp_path), "the workers to end")
    for path in tmp_path.rglob("*.checkpoint"):
        path.unlink()
    output = run(tmp_path, "resume", "--slots", "2")
    assert "no checkpoint is left" in output
    done = query(
        tmp_path,
        "SELECT cell_id, epoch, train_loss, train_accuracy, test_loss, test_accuracy, lr FROM epoch_metrics "
        "JOIN attempt ON attempt.id = attempt_id WHERE attempt.lineage IN "
        "(SELECT lineage FROM attempt WHERE state = 'done') ORDER BY 1, 2",
    )
    assert done == undisturbed[1]
