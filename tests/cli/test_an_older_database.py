"""A database of an earlier revision: readers name the command that upgrades it, and that command does."""

from __future__ import annotations

import shlex
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


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_reader_names_a_command_that_copies_the_results_and_trains_nothing(asapbench, old, revision: str) -> None:
    shutil.copy(OLD.with_name(f"{revision}.sqlite"), "my old.sqlite")
    Path("my old.sqlite").chmod(0o444)
    said = asapbench("report", "--suite", "frozen", "--db", "my old.sqlite").err
    _, command, text, upgrade, *_ = said.split("`")
    assert text == " copies its results to a new database; "
    assert asapbench(*shlex.split(command)[1:]).status == 0
    assert asapbench("status", "--db", "NEW.sqlite").status == 0
    assert upgrade == "asapbench resume --db 'my old.sqlite'"


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
    assert said.startswith("4 of 4 cells of Digits ResNet-10(width=8) to train")
    assert "frozen: cells trained under an earlier revision of the code: 3; their results stay in the database" in said
    again = run(tmp_path, "resume", "--db", "old.sqlite", "--time-limit", "1s", status=3)
    assert "earlier revision" not in again, "said once: the suite's list has today's cells now"
