"""`export` and `merge` as they are used: what they print, and their exit status."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import Commands

from asapbench.metrics import EpochMetrics
from asapbench.store import DEFAULT_URL, OwnerProcess, Provenance, Store
from asapbench.suite.load import load

CELLS = load("quickstart").cells[:3]


@pytest.fixture
def trained(asapbench: Commands) -> Commands:
    """A folder whose database has two cells trained, of three."""
    with Store.open(DEFAULT_URL) as store:
        store.record_suite("quickstart", "shipped", CELLS)
        for cell in CELLS[:2]:
            claim = store.claim(
                cell,
                owner=OwnerProcess("a-host", "a-boot", 4, 1.0),
                provenance=Provenance(None, None, {}, {}),
                device="cpu",
            )
            assert claim is not None
            epoch = EpochMetrics(1, 2.0, 0.25, 1.9, 0.3125, None, None, 0.03, 2.0, 719.0, None)
            store.record_epochs(claim, [epoch])
            store.finish(claim, "done")
    return asapbench


def test_results_are_carried_to_another_database(trained: Commands) -> None:
    said = trained("export", "mine.sqlite")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("mine.sqlite: 3 cells, 2 attempts, 2 epochs, ")
    said = trained("merge", "mine.sqlite", "--db", "there.sqlite")
    assert (said.status, said.out) == (0, "mine.sqlite: 3 new cells, 2 attempts, 2 epochs, 1 suite\n")
    said = trained("merge", "mine.sqlite", "--db", "there.sqlite")
    assert (said.status, said.out) == (0, "mine.sqlite: 0 new cells, 0 attempts, 0 epochs\n")
    counts = trained("status", "--db", "there.sqlite").out.splitlines()
    assert [line.split()[:4] for line in counts[:2]] == [
        ["suite", "cells", "done", "pending"],
        ["quickstart", "3", "2", "1"],
    ]
    assert trained("report", "--suite", "quickstart", "--db", "there.sqlite").status == 0


def test_an_export_takes_the_suites_and_filters_that_are_named(trained: Commands) -> None:
    said = trained("export", "one.sqlite", "quickstart", "--only", f"cell={CELLS[0].short}", "--anonymous")
    assert said.out.startswith("one.sqlite: 1 cell, 1 attempt, 1 epoch, ")
    assert b"a-host" not in Path("one.sqlite").read_bytes()


def test_a_conflict_is_named_with_cell_attempt_epoch_and_both_values(trained: Commands) -> None:
    trained("export", "mine.sqlite")
    with closing(sqlite3.connect("mine.sqlite")) as file, file:
        file.execute("UPDATE epoch_metrics SET test_loss = 0.125 WHERE rowid = 1")
        [attempt] = file.execute("SELECT attempt_id FROM epoch_metrics WHERE rowid = 1").fetchone()
        [label, cell] = file.execute(
            "SELECT label, cell.id FROM cell JOIN attempt ON cell.id = cell_id WHERE attempt.id = ?", [attempt]
        ).fetchone()
    said = trained("merge", "mine.sqlite")
    assert said.status == 1
    assert said.out.splitlines()[1] == (
        f"  conflict: {label} ({cell[:10]}), attempt {attempt[:12]}: epoch 1 test_loss is 1.9 here, 0.125 there; "
        "nothing of it was added"
    )


def test_what_another_persons_file_says_cannot_move_the_cursor(trained: Commands) -> None:
    trained("export", "mine.sqlite")
    with closing(sqlite3.connect("mine.sqlite")) as file, file:
        file.execute("UPDATE cell SET label = char(27) || '[2J'")
        file.execute("UPDATE attempt SET device = char(27) || '[31mx'")
    said = trained("merge", "mine.sqlite")
    assert said.status == 1
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export", "x.sqlite", "quikstart"], 'did you mean "quickstart"'),
        (["export", "x.sqlite", "--only", "rule=asup"], 'no cell has rule "asup"'),
        (["export", "x.txt"], "end it in .sqlite, .sqlite3, .db for a database, in .csv or .json for a table"),
        (["export", "x"], "does not say what to write"),
        (["export", "-"], "does not say what to write"),
        (["export", "absent/x.sqlite"], "there is no directory absent"),
        (["export", "results/asapbench.sqlite"], "this is the database itself"),
        (["export", "results/asapbench.sqlite", "--force"], "this is the database itself"),
        (["merge", "absent.sqlite"], "absent.sqlite: there is no such database file"),
        (["merge", "results"], "results: there is no such database file"),
        (["merge"], "OTHER"),
        (["export"], "FILE"),
    ],
)
def test_bad_input_is_one_error_with_its_fix(arguments: list[str], says: str, trained: Commands) -> None:
    said = trained(*arguments)
    assert said.status == 2
    assert says in said.err.replace("\n", " ")
    assert "Traceback" not in said.err + said.out


def test_an_export_of_nothing_and_a_merge_of_nothing_make_no_file(asapbench: Commands) -> None:
    assert "run a suite first" in asapbench("export", "x.sqlite").err
    assert asapbench("merge", "x.sqlite").status == 2
    assert list(Path().iterdir()) == []
