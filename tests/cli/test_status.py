"""`status`: counts, live runs, cells in training and with a problem; `--watch` looks again and again."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Commands
from terminals import start

from asapbench.metrics import EpochMetrics
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.load import load

CELLS = load("quickstart").cells[:6]
TERMS = {"provenance": Provenance(None, None, {}, {}), "device": "cpu"}
OURS = OwnerProcess.of_this_process()
DEAD = replace(OURS, pid_started=OURS.pid_started - 100.0)


def epoch(number: int, seconds: float = 1.0) -> EpochMetrics:
    return EpochMetrics(number, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, seconds, 100.0, None)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Six cells: one done, one failed, one in training here, one left by a dead run, two pending."""
    path = tmp_path / "x.sqlite"
    with Store.open(str(path)) as store:
        store.record_suite("quick", "quick.toml", CELLS)
        done, failed, running, left = (
            store.claim(cell, owner=owner, **TERMS)
            for cell, owner in zip(CELLS, (OURS, OURS, OURS, DEAD), strict=False)
        )
        store.record_epochs(done, [epoch(n) for n in range(1, 11)])
        store.finish(done, "done")
        store.finish(failed, "failed", error="no")
        for claim in (running, left):
            store.record_epochs(claim, [epoch(n) for n in range(1, 4)])
    return path


def test_it_counts_the_states_and_names_the_live_run(database: Path, asapbench: Commands) -> None:
    titles, row, _, *rest = asapbench("status", "--db", str(database), "--device", "cpu").out.splitlines()
    assert titles.split() == ["suite", "cells", "done", "running", "interrupted", "failed", "pending", "time", "left"]
    assert row.split()[:7] == ["quick", "6", "1", "1", "1", "1", "2"]
    assert rest[0] == f"A run is live: pid {os.getpid()} on {OURS.host}, 1 cell in training on cpu"
    assert rest[1].startswith("Time left: about ")
    assert "The cells below: Digits ResNet-10(width=8) BP" in rest
    assert f"  {CELLS[1].short}  seed 1: failed, epoch 0/10" in rest
    assert [line for line in rest if line.startswith(f"  {CELLS[2].short}  seed 2: running, epoch 4/10, about ")]
    assert not [line for line in rest if line.startswith("To resume")], "a run is at it"


def test_without_a_live_run_it_names_the_command_to_resume(
    database: Path, asapbench: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(str(database)) as store:
        for attempt in store.running():
            store.take_over(attempt)
    monkeypatch.setattr(OwnerProcess, "is_dead", lambda _owner: True)
    out = asapbench("status", "--db", str(database), "--device", "cpu").out
    assert "A run is live" not in out
    assert out.splitlines()[-1] == f"To resume: asapbench resume --db {database}"


def test_a_run_is_live_between_two_cells(database: Path, asapbench: Commands) -> None:
    with Store.open(str(database)) as store:
        for attempt in store.running():
            store.take_over(attempt)
    out = asapbench("status", "--db", str(database), "--device", "cpu").out
    assert f"A run is live: pid {os.getpid()} on {OURS.host}, between two cells" in out


def test_discarded_cells_are_not_left(database: Path, asapbench: Commands) -> None:
    with Store.open(str(database)) as store:
        store.discard([cell.id for cell in CELLS[4:]], "a typing error")
    titles, row, *_ = asapbench("status", "--db", str(database), "--device", "cpu").out.splitlines()
    assert dict(zip(titles.split(), row.split(), strict=False))["discarded"] == "2"
    assert "pending" not in titles


def test_cells_of_an_earlier_revision_are_outdated(database: Path, asapbench: Commands) -> None:
    with sqlite3.connect(database) as changed:
        for table, column in (("cell", "id"), ("attempt", "cell_id"), ("suite_cell", "cell_id")):
            changed.execute(f"UPDATE {table} SET {column} = 'f' || substr({column}, 2)")
    titles, row, *_ = asapbench("status", "--db", str(database), "--device", "cpu").out.splitlines()
    assert titles.split()[:4] == ["suite", "cells", "running", "outdated"]
    assert row.split()[:4] == ["quick", "6", "1", "5"]


def test_in_a_pipe_watch_prints_a_block_at_each_look_and_survives_a_database_that_is_away(
    database: Path, asapbench: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = database.with_name("away.sqlite")
    moves = [lambda: database.rename(away), lambda: away.rename(database), lambda: signal.raise_signal(signal.SIGINT)]
    monkeypatch.setattr(time, "sleep", lambda _seconds: moves.pop(0)())
    said = asapbench("status", "--db", str(database), "--device", "cpu", "--watch")
    assert said.status == 0
    assert said.out.count("suite  cells") == 2
    assert said.out.count("(as it was before: no database at") == 1


def test_on_a_terminal_watch_refreshes_in_place_and_ctrl_c_ends_it(database: Path) -> None:
    terminal = start(
        database.parent, ["status", "--db", str(database), "--watch", "--every", "0.2s", "--device", "cpu"]
    )
    terminal.read_until("\x1b[1A")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0
    assert "Traceback" not in terminal.text


def test_the_first_look_may_fail(tmp_path: Path, asapbench: Commands) -> None:
    said = asapbench("status", "--db", str(tmp_path / "no.sqlite"), "--watch")
    assert (said.status, said.out) == (2, "")
    assert "no database at" in said.err


def test_a_list_is_printed_once(database: Path, asapbench: Commands) -> None:
    said = asapbench("status", "--db", str(database), "--watch", "--cells")
    assert (said.status, said.out) == (2, "")
    assert "--cells lists cells once" in said.err
