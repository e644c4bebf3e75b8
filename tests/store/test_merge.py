"""What a merge takes, and what it leaves alone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from merging import rows
from store_examples import A_MEASUREMENT, PROVENANCE, TERMS, a_cell, a_quality, an_angle, an_epoch, current, trained

from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.store.untrusted_import import opened

OTHER_MACHINE = OwnerProcess("another-host", "another-boot", 77, 3.5)
THEIR_MACHINE = Provenance("89ef", False, {"torch": "2.14.1"}, {"cpu": "another", "cores": 64})
THERE = {"owner": OTHER_MACHINE, "provenance": THEIR_MACHINE, "device": "cuda:0"}


@pytest.fixture
def other(tmp_path):
    with Store.open(str(tmp_path / "other.sqlite")) as made:
        yield made


def merged(store, *others):
    with opened([other.path for other in others]) as databases:
        return store.merge(databases)


def test_everything_that_hangs_on_a_cell_comes_along(store, other):
    cells = [a_cell(), a_cell(1)]
    other.record_suite("theirs", "shipped", cells)
    trained(other, cells[0], tests=(0.5,), state="interrupted", **THERE)
    claim = other.claim(cells[0], **THERE)
    other.record_epochs(
        claim, [an_epoch(2), an_epoch(3, test=0.75)], [an_angle(0), an_angle(3, degrees=None), a_quality(0)]
    )
    other.finish(claim, "done", weights_path="/home/someone/w.weights", weights_digest="00ff")
    other.record_measurements("shortcut", claim.attempt_id, [A_MEASUREMENT], PROVENANCE)
    outcome = merged(store, other)[0]
    assert (outcome.cells, outcome.attempts, outcome.epochs, outcome.angles, outcome.measurements, outcome.suites) == (
        2,
        2,
        3,
        2,
        1,
        1,
    )
    done = current(store, cells[0])
    assert done.state == "done"
    assert store.attempts(cells[0].id) == [
        attempt if attempt.weights_path is None else done for attempt in other.attempts(cells[0].id)
    ]
    assert (done.weights_path, done.weights_digest) == (None, "00ff")
    assert store.epochs(done.lineage) == other.epochs(done.lineage)
    assert store.alignment(done.lineage) == other.alignment(done.lineage)
    assert outcome.gradient_qualities == 1
    assert store.gradient_quality(done.lineage) == other.gradient_quality(done.lineage) == [a_quality(0)]
    assert store.measurements("shortcut", [done.id]) == {done.id: [A_MEASUREMENT]}
    assert store.provenance(done.provenance_id) == THEIR_MACHINE
    assert [cell.id for cell in store.readable_cells("theirs")[0]] == [cell.id for cell in cells]


def test_a_merge_leaves_the_other_file_as_it_is(store, other):
    trained(other, a_cell())
    other.close()
    before = other.path.read_bytes()
    merged(store, other)
    assert other.path.read_bytes() == before


def test_a_database_that_a_run_is_writing_to_is_read_beside_it(store, other):
    claim = other.claim(a_cell(), **THERE)
    other.record_epochs(claim, [an_epoch(1)])
    merged(store, other)
    seen = current(store, a_cell())
    assert (seen.state, seen.ended_at, seen.epochs_done) == ("interrupted", None, 1)
    other.record_epochs(claim, [an_epoch(2)])
    other.finish(claim, "done")
    outcome = merged(store, other)[0]
    assert (outcome.attempts, outcome.further, outcome.epochs, outcome.conflicts) == (0, 1, 1, [])
    assert (current(store, a_cell()).state, current(store, a_cell()).epochs_done) == ("done", 2)


def test_an_older_copy_takes_nothing_back(store, other, tmp_path):
    claim = other.claim(a_cell(), **THERE)
    other.record_epochs(claim, [an_epoch(1)])
    old = tmp_path / "old.sqlite"
    other.export(old)
    other.record_epochs(claim, [an_epoch(2)])
    other.finish(claim, "done")
    merged(store, other)
    with Store.read_only(str(old)) as older:
        outcome = merged(store, older)[0]
    assert (outcome.further, outcome.epochs) == (0, 0)
    assert (current(store, a_cell()).state, len(store.epochs(claim.lineage))) == ("done", 2)


def test_a_cell_trained_here_and_there_keeps_both_and_shows_the_newer_result(store, other):
    here = trained(store, a_cell())
    there = trained(other, a_cell(), **THERE)
    merged(store, other)
    assert [attempt.id for attempt in store.attempts(a_cell().id)] == [here.attempt_id, there.attempt_id]
    assert [attempt.number for attempt in store.attempts(a_cell().id)] == [1, 2]
    assert current(store, a_cell()).id == there.attempt_id


@pytest.mark.parametrize("state", ["interrupted", "failed", "out_of_memory"])
def test_a_result_is_not_hidden_by_a_later_attempt_without_one(store, other, state):
    here = trained(store, a_cell())
    trained(other, a_cell(), state=state, **THERE)
    merged(store, other)
    assert current(store, a_cell()).id == here.attempt_id
    assert len(store.attempts(a_cell().id)) == 2
    assert store.claim(a_cell(), **TERMS) is None


def test_what_is_superseded_in_one_database_is_superseded_in_the_other(store, other, tmp_path):
    trained(store, a_cell())
    copy = tmp_path / "copy.sqlite"
    store.export(copy)
    with Store.open(str(copy)) as rerun:
        rerun.supersede([a_cell().id])
        again = trained(rerun, a_cell(), tests=(0.9,))
        merged(store, rerun)
    back = tmp_path / "back.sqlite"
    store.export(back)
    with Store.read_only(str(back)) as exported:
        merged(other, exported)
    for database in (store, other):
        assert [attempt.superseded for attempt in database.attempts(a_cell().id)] == [True, False]
        assert current(database, a_cell()).id == again.attempt_id


def test_numbers_that_a_store_gave_are_kept(other, tmp_path):
    for state in ("failed", "interrupted", "done"):
        trained(other, a_cell(), state=state)
    other.supersede([a_cell().id])
    for state in ("out_of_memory", "interrupted"):
        trained(other, a_cell(), state=state)
    with Store.open(str(tmp_path / "new.sqlite")) as new:
        merged(new, other)
        assert [a.id for a in new.attempts(a_cell().id)] == [a.id for a in other.attempts(a_cell().id)]


def test_a_clock_that_was_set_back_does_not_put_an_attempt_before_the_one_it_resumes(store, other):
    first = trained(other, a_cell(), tests=(0.5,), state="interrupted", **THERE)
    second = other.claim(a_cell(), **THERE)
    other.finish(second, "interrupted", bit_exact=False)
    other.close()
    with closing(sqlite3.connect(other.path)) as connection, connection:
        early = "2001-01-01T00:00:00.000+00:00"
        connection.execute("UPDATE attempt SET started_at = ? WHERE id = ?", [early, second.attempt_id])
    merged(store, other)
    assert [a.id for a in store.attempts(a_cell().id)] == [first.attempt_id, second.attempt_id]
    assert not current(store, a_cell()).bit_exact


def test_a_cell_that_is_being_trained_here_is_left_out_and_named(store, other):
    claim = store.claim(a_cell(), owner=OwnerProcess.of_this_process(), provenance=PROVENANCE, device="cpu")
    trained(other, a_cell(), **THERE)
    trained(other, a_cell(1), **THERE)
    outcome = merged(store, other)[0]
    assert outcome.in_training == [a_cell().id]
    assert current(store, a_cell(1)).state == "done"
    store.record_epochs(claim, [an_epoch(1)])
    store.finish(claim, "done")
    assert merged(store, other)[0].attempts == 1


def test_an_attempt_whose_process_is_dead_does_not_keep_its_cell_out(store, other):
    dead = replace(OwnerProcess.of_this_process(), pid_started=-60.0)
    store.claim(a_cell(), **(TERMS | {"owner": dead}))
    trained(other, a_cell(), **THERE)
    assert merged(store, other)[0].in_training == []
    assert current(store, a_cell()).state == "done"


def test_a_suites_list_keeps_its_order_and_grows_at_the_end(store, other):
    store.record_suite("mine", "here/mine.toml", [a_cell(5), a_cell(1)])
    other.record_suite("mine", "there/mine.toml", [a_cell(2), a_cell(1), a_cell(9)])
    other.record_suite("theirs", "/home/someone/suites/theirs.toml", [a_cell(2)])
    merged(store, other)
    assert [cell.seed for cell in store.readable_cells("mine")[0]] == [5, 1, 2, 9]
    assert {suite.name: suite.source for suite in store.suites()} == {"mine": "here/mine.toml", "theirs": "theirs.toml"}


def test_of_two_analyses_the_later_counts_wherever_it_was_made(store, other, tmp_path):
    claim = trained(other, a_cell())
    copy = tmp_path / "copy.sqlite"
    other.export(copy)
    other.record_measurements("shortcut", claim.attempt_id, [replace(A_MEASUREMENT, value=1.0)], PROVENANCE)
    later = replace(A_MEASUREMENT, value=2.0)
    with Store.open(str(copy)) as analyzed:
        analyzed.record_measurements("shortcut", claim.attempt_id, [later], PROVENANCE)
        merged(store, analyzed, other)
    assert store.measurements("shortcut", [claim.attempt_id]) == {claim.attempt_id: [later]}


def test_a_cell_of_a_rule_that_is_not_installed_is_taken_as_text(store, other, tmp_path):
    trained(other, a_cell())
    other.close()
    plugin = tmp_path / "plugin.sqlite"
    shutil.copy(other.path, plugin)
    with closing(sqlite3.connect(plugin)) as connection, connection:
        connection.execute("UPDATE cell SET rule = 'theirs', config = replace(config, '\"asap\"', '\"theirs\"')")
    with opened([plugin]) as databases:
        assert store.merge(databases)[0].attempts == 1
    assert store.unreadable_cells() == [a_cell().id]


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
def test_a_database_of_an_older_revision_is_brought_up_to_date_in_a_copy(store, tmp_path, revision):
    frozen = Path(__file__).parent / "frozen" / f"{revision}.sqlite"
    old = tmp_path / "old.sqlite"
    shutil.copy(frozen, old)
    with opened([old]) as databases:
        outcome = store.merge(databases)[0]
    assert (outcome.cells, outcome.attempts, outcome.epochs, outcome.suites) == (4, 4, 4, 1)
    assert (outcome.angles, outcome.measurements) == ((0, 0) if revision == "0001" else (2, 1))
    assert outcome.gradient_qualities == (2 if revision >= "0004" else 0)
    assert old.read_bytes() == frozen.read_bytes()


def test_a_database_merged_with_itself_stays_as_it_is(tmp_path):
    with Store.open(str(tmp_path / "x.sqlite")) as store:
        store.record_suite("mine", "shipped", [a_cell()])
        trained(store, a_cell())
        before = rows(store.path, "attempt"), rows(store.path, "suite")
        merged(store, store)
        assert (rows(store.path, "attempt"), rows(store.path, "suite")) == before
