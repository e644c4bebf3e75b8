"""A run that is stopped past its lease and wakes up overwrites nothing: another has taken its cells over."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from campaign import DIGESTS, IMPATIENT, SLOTS, Undisturbed
from small_runs import DB, query, recorded, run, start, wait_until, workers, write_suite

pytestmark = pytest.mark.faults
EVERYTHING = ("SELECT * FROM attempt ORDER BY id", "SELECT * FROM epoch_metrics ORDER BY lineage, epoch")


def _stop_between_writes(folder: Path, pids: list[int]) -> None:
    """Stops the processes while none of them holds the database: nobody could take over what is locked for good."""
    while True:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        with closing(sqlite3.connect(folder / DB, timeout=0, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                for pid in pids:
                    os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)


def test_a_run_that_wakes_after_its_lease_overwrites_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    write_suite(tmp_path)
    sleeper = start(tmp_path, "run", "small.toml", *SLOTS, program=IMPATIENT)
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch")
    asleep = [sleeper.pid, *workers(tmp_path)]
    _stop_between_writes(tmp_path, asleep)
    try:
        other = start(tmp_path, "run", "small.toml", *SLOTS, program=IMPATIENT)
        output, _ = other.communicate(timeout=300)
        assert other.returncode == 0, output
        before = [query(tmp_path, sql) for sql in EVERYTHING]
    finally:
        for pid in asleep:
            os.kill(pid, signal.SIGCONT)
    output, _ = sleeper.communicate(timeout=300)
    assert "another run" in output
    assert "Traceback" not in output
    assert [query(tmp_path, sql) for sql in EVERYTHING] == before
    assert Undisturbed.of(tmp_path) == undisturbed
    assert len(query(tmp_path, DIGESTS)) == 4
    wait_until(lambda: not workers(tmp_path), "the sleeper's workers to end")
    (cell,) = query(tmp_path, "SELECT cell_id FROM attempt WHERE state = 'interrupted'")[0]
    assert f"its run (pid {sleeper.pid} on" in run(tmp_path, "show", cell[:10])
