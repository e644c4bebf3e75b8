"""Two runs on two hosts share a PostgreSQL database: each cell is trained once, and a dead host's cells resume."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from postgresql import Server
from small_runs import CURVES, environment, wait_until, workers, write_suite

pytestmark = pytest.mark.slow

# A host is stale when its lease has stood still for a minute. Here leases move and are found stale sooner.
ASAPBENCH = """
from asapbench.running import leases, runner
leases.STALE_SECONDS, runner._LEASE_SECONDS = 15.0, 0.5
from asapbench.cli import main
main()
"""
STATES = "SELECT host, state, count(*) FROM attempt GROUP BY 1, 2 ORDER BY 1, 2"


@pytest.fixture
def other_hosts() -> None:
    """A process may be given a host name of its own: it then is another host to the database."""
    done = subprocess.run(["unshare", "--uts", "hostname", "another"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a host name of its own needs root and Linux: {done.stderr.strip()}")


def start(folder: Path, url: str, *more: str, host: str | None = None) -> subprocess.Popen[str]:
    """A run of the small suite on PostgreSQL, not waited for."""
    write_suite(folder)
    words = [sys.executable, "-c", ASAPBENCH, "run", "small.toml", "--slots", "1", "--checkpoint-every", "0.2s", *more]
    if host is not None:
        words = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *words]
    return subprocess.Popen(
        words,
        cwd=folder,
        env=environment() | {"ASAPBENCH_DB": url, "ASAPBENCH_FILES": str(folder / "shared")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def query(url: str, sql: str) -> list[tuple]:
    """The rows; none before there are tables."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        try:
            return connection.execute(sql.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    return output


def waits(process: subprocess.Popen[str]) -> str:
    """The line in which a run says that it waits for its server."""
    assert process.stdout is not None
    return next((line for line in process.stdout if "waiting for it" in line), "the run has ended")


def test_two_hosts_train_each_cell_once(other_hosts, undisturbed, postgresql_url, tmp_path) -> None:
    runs = [start(tmp_path, postgresql_url, host=host) for host in ("left", "right")]
    outputs = [ended(process) for process in runs]
    assert query(postgresql_url, CURVES) == undisturbed[1], outputs
    counts = query(postgresql_url, STATES)
    assert [(host, state) for host, state, _ in counts] == [("left", "done"), ("right", "done")], outputs
    assert sum(count for *_, count in counts) == 4


@pytest.mark.faults
def test_the_cells_of_a_host_that_died_resume_from_the_shared_files(
    other_hosts, undisturbed, postgresql_url, tmp_path
) -> None:
    dies, lives = (start(tmp_path, postgresql_url, host=host) for host in ("dies", "lives"))
    training = "SELECT DISTINCT host FROM attempt WHERE state = 'running' AND epochs_done >= 1 AND host = 'dies'"
    wait_until(lambda: query(postgresql_url, training), "an epoch of a cell that resumes")
    dies.kill()
    before = query(postgresql_url, CURVES)
    dies.communicate()
    output = ended(lives)
    assert query(postgresql_url, CURVES) == undisturbed[1], output
    assert set(before) <= set(query(postgresql_url, CURVES))
    assert query(postgresql_url, "SELECT count(*) FROM attempt WHERE state = 'done'") == [(4,)]
    taken_over = query(
        postgresql_url,
        "SELECT new.host, new.state, old.host FROM attempt AS new JOIN attempt AS old ON old.id = new.resumed_from "
        "WHERE old.state = 'interrupted'",
    )
    assert taken_over == [("lives", "done", "dies")], output
    assert not workers(tmp_path)


@pytest.mark.faults
def test_a_cell_whose_files_another_host_kept_to_itself_starts_from_scratch_and_says_so(
    other_hosts, undisturbed, postgresql_url, tmp_path
) -> None:
    one_cell = ("--only", "rule=bp", "--seeds", "0")
    dies = start(tmp_path, postgresql_url, *one_cell, "--files", "own", host="dies")
    wait_until(lambda: query(postgresql_url, "SELECT 1 FROM epoch_metrics"), "an epoch")
    dies.kill()
    dies.communicate()
    output = ended(start(tmp_path, postgresql_url, *one_cell, host="lives"))
    assert "no checkpoint is left of its earlier attempt; it starts from scratch" in output
    [(lineage,)] = query(postgresql_url, "SELECT lineage FROM attempt WHERE state = 'done'")
    curve = query(postgresql_url, CURVES.replace("ORDER BY", f"WHERE attempt.lineage = '{lineage}' ORDER BY"))
    assert curve == [row for row in undisturbed[1] if row[0] == curve[0][0]]
    assert len(curve) == 3


@pytest.mark.parametrize("crash", [False, True], ids=["restarted", "crashed"])
def test_a_server_that_restarts_in_the_middle_of_a_run_costs_nothing_but_time(
    crash, undisturbed, postgresql_server: Server, postgresql_url, tmp_path
) -> None:
    process = start(tmp_path, postgresql_url)
    wait_until(lambda: query(postgresql_url, "SELECT 1 FROM epoch_metrics"), "an epoch")
    postgresql_server.stop(crash=crash)
    assert "cannot be reached" in waits(process)
    postgresql_server.start()
    ended(process)
    assert query(postgresql_url, CURVES) == undisturbed[1]
    assert query(postgresql_url, "SELECT state, count(*) FROM attempt GROUP BY 1") == [("done", 4)]


def test_a_second_signal_ends_a_run_whose_server_is_away(
    undisturbed, postgresql_server: Server, postgresql_url, tmp_path
) -> None:
    process = start(tmp_path, postgresql_url)
    wait_until(lambda: query(postgresql_url, "SELECT 1 FROM epoch_metrics"), "an epoch")
    postgresql_server.stop()
    try:
        waits(process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    finally:
        postgresql_server.start()
    assert process.returncode == 2, output
    assert output.count("error: ") == 1
    assert "Traceback" not in output
    assert not workers(tmp_path)
    ended(start(tmp_path, postgresql_url))
    assert query(postgresql_url, CURVES) == undisturbed[1]


def test_what_a_person_asks_of_a_postgresql_database_is_answered(postgresql_url, tmp_path) -> None:
    ended(start(tmp_path, postgresql_url, "--only", "rule=bp", "--seeds", "0", "--keep-weights"))
    cell = query(postgresql_url, "SELECT id FROM cell")[0][0]
    where = {"ASAPBENCH_DB": postgresql_url, "ASAPBENCH_FILES": str(tmp_path / "shared")}

    def asapbench(*arguments: str) -> str:
        words = [sys.executable, "-m", "asapbench", *arguments]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment() | where, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "small" in asapbench("status", "--cells")
    assert "done" in asapbench("show", cell[:10])
    assert "n = 1" in asapbench("report", "--suite", "small")
    assert "1 cell: 1 done" in asapbench("run", "small.toml", "--only", "rule=bp", "--seeds", "0", "--dry-run")
    (tmp_path / "shared").rename(tmp_path / "moved")
    where["ASAPBENCH_FILES"] = str(tmp_path / "moved")
    assert str(tmp_path / "moved") in asapbench("evaluate", cell[:10])
    assert "Checkpoints of 1 finished cell removed" in asapbench("clean")
    assert not (tmp_path / "shared").exists()
    assert not (tmp_path / "results").exists()
