"""A database of an earlier revision: readers name the command that upgrades it, and that command does."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small_runs import run

from asapbench.store.migrate import HEAD

OLD = Path(__file__).parent.parent / "store" / "frozen" / "0001.sqlite"


@pytest.fixture
def old(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    shutil.copy(OLD, "old.sqlite")
    return "old.sqlite"


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_reader_names_a_command_that_upgrades_and_one_that_copies(asapbench, old, revision: str) -> None:
    shutil.copy(OLD.with_name(f"{revision}.sqlite"), "my old.sqlite")
    said = asapbench("report", "--suite", "frozen", "--db", "my old.sqlite").err
    _, upgrade, between, copy, after = said.split("`")
    assert (between, after) == (" upgrades it, or ", " copies its results to a new one\n")
    Path("my old.sqlite").chmod(0o444)
    assert asapbench(*shlex.split(copy)[1:]).status == 0
    assert asapbench("status", "--db", "NEW.sqlite").status == 0
    Path("my old.sqlite").chmod(0o644)
    assert asapbench(*shlex.split(upgrade)[1:]).out == f"my old.sqlite: upgraded from revision {revision} to {HEAD}\n"
    assert asapbench("report", "--suite", "frozen", "--db", "my old.sqlite").status == 0
    assert asapbench(*shlex.split(upgrade)[1:]).out == f"my old.sqlite is at revision {HEAD} already\n"


def test_an_upgrade_trains_nothing_and_keeps_every_result(asapbench, old) -> None:
    counts = "SELECT (SELECT count(*) FROM attempt), (SELECT count(*) FROM epoch_metrics), (SELECT count(*) FROM cell)"
    with closing(sqlite3.connect(old)) as connection:
        before = connection.execute(counts).fetchall()
    assert asapbench("upgrade", "--db", old).status == 0
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute(counts).fetchall() == before


def test_an_upgrade_makes_no_database(asapbench, old) -> None:
    Path("empty.sqlite").touch()
    assert "no database at none.sqlite" in asapbench("upgrade", "--db", "none.sqlite").err
    assert "holds no results yet" in asapbench("upgrade", "--db", "empty.sqlite").err
    assert sorted(path.name for path in Path().iterdir()) == ["empty.sqlite", "old.sqlite"]
    assert Path("empty.sqlite").read_bytes() == b""


@pytest.mark.parametrize("command", ["resume", "rerun"])
def test_they_do(asapbench, old, command: str) -> None:
    said = asapbench(command, "nosuch", "--db", old)
    assert said.status == 2
    assert 'knows no suite "nosuch"' in said.err
    assert asapbench("status", "--db", old).status == 0


@pytest.mark.parametrize("command", [["discard", "--reason", "x"], ["restore"]])
def test_what_names_no_cell_changes_nothing(asapbench, old, command: list[str]) -> None:
    before = Path(old).read_bytes()
    Path("empty.sqlite").touch()
    assert '"zz" is not a cell' in asapbench(*command, "zz", "--db", old).err
    assert "has no cell that starts with 0000000" in asapbench(*command, "0000000", "--db", old).err
    assert "holds no results yet" in asapbench(*command, "abc", "--db", "empty.sqlite").err
    assert Path(old).read_bytes() == before
    assert Path("empty.sqlite").read_bytes() == b""
    assert sorted(path.name for path in Path().iterdir()) == ["empty.sqlite", "old.sqlite"]


def test_discard_says_that_it_upgrades(asapbench, old) -> None:
    with closing(sqlite3.connect(old)) as connection:
        ((cell,),) = connection.execute("SELECT id FROM cell LIMIT 1").fetchall()
    said = asapbench("discard", cell, "--reason", "x", "--db", old).out.splitlines()
    assert said[0] == f"old.sqlite: upgraded from revision 0001 to {HEAD}"
    assert "upgraded" not in asapbench("restore", cell, "--db", old).out


@pytest.mark.parametrize("command", [["resume"], ["rerun", "frozen"]])
def test_they_make_no_database_where_there_is_none(asapbench, tmp_path, command: list[str]) -> None:
    path = tmp_path / "none.sqlite"
    assert "run a suite first" in asapbench(*command, "--db", str(path)).err
    assert not path.exists()


def test_resume_says_that_results_of_an_earlier_revision_stay_and_their_cells_train_again(tmp_path) -> None:
    shutil.copy(OLD.with_name("0002.sqlite"), tmp_path / "old.sqlite")
    said = run(tmp_path, "resume", "--db", "old.sqlite", "--time-limit", "1s", status=3)
    assert said.startswith("4 of 4 cells of Digits ResNet-10(width=8) to train")
    assert "frozen: cells trained under an earlier revision of the code: 3; their results stay in the database" in said
    again = run(tmp_path, "resume", "--db", "old.sqlite", "--time-limit", "1s", status=3)
    assert "earlier revision" not in again, "said once: the suite's list has today's cells now"
