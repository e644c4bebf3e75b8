"""What a worker prints, or how it dies before it is ready, never hangs or ends the run by itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from small_runs import query, run, run_with, write_suite


def run_bp(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_with(folder, code, "run", "small.toml", "--only", "rule=bp", *arguments)


@pytest.mark.slow
def test_a_library_that_prints_before_the_worker_does_is_no_matter(tmp_path) -> None:
    write_suite(tmp_path)
    done = run_bp(tmp_path, "print('hello from a plug-in')", "--slots", "1", "--seeds", "0", "--set", "epochs=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert query(tmp_path, "SELECT state FROM attempt") == [("done",)]


def test_workers_that_cannot_start_are_one_error_with_its_cause(tmp_path) -> None:
    write_suite(tmp_path)
    code = "import sys\nif 'asapbench.worker.main' in sys.orig_argv: raise SystemExit('no licence for torch')"
    done = run_bp(tmp_path, code, "--slots", "2")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no worker can be started here" in done.stderr
    assert "asapbench doctor" in done.stderr
    assert query(tmp_path, "SELECT count(*) FROM attempt") == [(0,)]


def test_rerun_changes_nothing_when_it_cannot_train(undisturbed, tmp_path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(undisturbed[0], copy)
    before = query(copy, "SELECT * FROM attempt ORDER BY id")
    run(copy, "rerun", "--only", "rule=bp", "--device", "cuda", status=2)
    assert query(copy, "SELECT * FROM attempt ORDER BY id") == before


LOG_THAT_IS_FULL = """
import errno, gc, os, pathlib, sys
print("hello from a plug-in", flush=True)
opened = pathlib.Path.open
def no_room(path, *given, **named):
    if path.suffix == ".log":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return opened(path, *given, **named)
pathlib.Path.open = no_room
if "asapbench.worker.main" in sys.orig_argv:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 2)
    gc.collect = lambda: print("a library's chatter", file=sys.stderr, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_log_that_cannot_be_written_costs_no_cell(tmp_path) -> None:
    write_suite(tmp_path)
    done = run_bp(tmp_path, LOG_THAT_IS_FULL, "--slots", "1", "--seeds", "0", "--set", "epochs=1", "--retries", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert query(tmp_path, "SELECT state FROM attempt") == [("done",)]
