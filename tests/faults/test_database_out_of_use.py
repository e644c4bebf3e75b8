"""A database that cannot be used is one error with its fix; nothing is lost, written or deleted."""

from __future__ import annotations

import random
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from campaign import SLOTS, Undisturbed
from small_runs import DB, curves, query, recorded, run, start, wait_until, workers, write_suite

pytestmark = pytest.mark.faults
ONE_CELL = ("--only", "rule=bp", "--seeds", "0", "--set", "epochs=1")
PAGE = 4096
WAITS_FOR_SECONDS = """
from asapbench.cli import main
from asapbench.store import connect, store
connect.BUSY_SECONDS, store.RETRY_SECONDS = 1.0, 4.0
main()
"""


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder with a database of one cell."""
    write_suite(tmp_path)
    run(tmp_path, "run", "small.toml", *ONE_CELL)
    return tmp_path


def test_a_lock_that_is_never_released_ends_the_run_with_nothing_lost(undisturbed: Undisturbed, tmp_path: Path) -> None:
    write_suite(tmp_path)
    process = start(tmp_path, "run", "small.toml", *SLOTS, program=("-c", WAITS_FOR_SECONDS))
    wait_until(lambda: recorded(tmp_path) >= 2, "two epochs")
    with closing(sqlite3.connect(tmp_path / DB, timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        before = curves(tmp_path)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 2, output
        assert "is locked by another process: end that process, or wait, and try again" in output
        assert "waiting for it, 4 s at most" in output
        assert "Traceback" not in output
        wait_until(lambda: not workers(tmp_path), "the workers to end")
        other.execute("ROLLBACK")
    assert curves(tmp_path) == before
    run(tmp_path, "resume", *SLOTS)
    assert Undisturbed.of(tmp_path) == undisturbed


def test_a_damaged_database_is_quarantined_and_never_deleted(finished: Path) -> None:
    path = finished / DB
    content = bytearray(path.read_bytes())
    content[2 * PAGE :] = random.Random(0).randbytes(len(content) - 2 * PAGE)
    path.write_bytes(content)
    for command in (["run", "small.toml", *ONE_CELL], ["resume"]):
        output = run(finished, *command, status=2)
        assert f"{DB} is damaged" in output
        assert "asapbench doctor --quarantine" in output
    assert path.read_bytes() == content
    # doctor's own exit status speaks of the whole installation, data sets and all.
    doctor = start(finished, "doctor", "--quarantine")
    assert f"{DB}.damaged-1" in doctor.communicate(timeout=300)[0]
    assert path.with_name(path.name + ".damaged-1").read_bytes() == content
    run(finished, "run", "small.toml", *ONE_CELL)
    assert query(finished, "SELECT state FROM attempt") == [("done",)]


def test_a_newer_database_is_left_as_it_is(finished: Path) -> None:
    with closing(sqlite3.connect(finished / DB)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    content = (finished / DB).read_bytes()
    for command in (["run", "small.toml", *ONE_CELL], ["resume"]):
        assert "upgrade asapbench, or name another with --db" in run(finished, *command, status=2)
    assert (finished / DB).read_bytes() == content


def test_a_database_on_a_read_only_disk_is_read_and_not_written(finished: Path, small_disk: Path | None) -> None:
    if small_disk is None:
        pytest.skip("this user may not mount a file system")
    place = small_disk / "results.sqlite"
    place.write_bytes((finished / DB).read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    db = ("--db", f"sqlite:///{place}")
    assert "is read-only: make it writable, or name another with --db" in run(
        finished, "run", "small.toml", *ONE_CELL, *db, status=2
    )
    assert run(finished, "status", *db).splitlines()[1].split() == ["small", "1", "1"]
