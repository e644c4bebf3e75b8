"""A database of an earlier revision: readers name the command that upgrades it, and that command does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_runs import run

OLD = Path(__file__).parent.parent / "store" / "frozen" / "0001.sqlite"


@pytest.fixture
def old(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    shutil.copy(OLD, "old.sqlite")
    return "old.sqlite"


def test_a_reader_names_the_commands_that_upgrade(asapbench, old) -> None:
    assert "`asapbench resume` upgrades it" in asapbench("status", "--db", old).err


@pytest.mark.parametrize("command", ["resume", "rerun"])
def test_they_do(asapbench, old, command: str) -> None:
    said = asapbench(command, "nosuch", "--db", old)
    assert said.status == 2
    assert 'knows no suite "nosuch"' in said.err
    assert asapbench("status", "--db", old).status == 0


@pytest.mark.parametrize("command", [["resume"], ["rerun", "frozen"]])
def test_they_make_no_database_where_there_is_none(asapbench, tmp_path, command: list[str]) -> None:
    path = tmp_path / "none.sqlite"
    assert "run a suite first" in asapbench(*command, "--db", str(path)).err
    assert not path.exists()


def test_resume_says_that_results_of_an_earlier_revision_stay_and_their_cells_train_again(tmp_path) -> None:
    shutil.copy(OLD.with_name("0002.sqlite"), tmp_path / "old.sqlite")
    said = run(tmp_path, "resume", "--db", "old.sqlite", "--time-limit", "1s", status=3)
    assert "4 of 4 cells to train" in said
    assert "frozen: cells trained under an earlier revision of the code: 3; their results stay in the database" in said
    again = run(tmp_path, "resume", "--db", "old.sqlite", "--time-limit", "1s", status=3)
    assert "earlier revision" not in again, "said once: the suite's list has today's cells now"
