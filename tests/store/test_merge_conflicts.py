"""Two databases that contradict each other: ours stays, the conflict is named, all else is merged."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from merging import content
from store_examples import TERMS, a_cell, a_quality, an_angle, an_epoch, current, trained

from asapbench.store import Provenance, Store
from asapbench.store.untrusted_import import opened


@pytest.fixture
def pair(tmp_path):
    """Two databases with the same three attempts: an interrupted one, one that resumes it, and another cell's."""
    with Store.open(str(tmp_path / "ours.sqlite")) as ours:
        claim = ours.claim(a_cell(), **TERMS)
        ours.record_epochs(claim, [an_epoch(1)], [an_angle(1), a_quality(1, "")])
        ours.finish(claim, "interrupted")
        trained(ours, a_cell(1))
        ours.export(tmp_path / "theirs.sqlite")
    with Store.open(str(tmp_path / "theirs.sqlite")) as theirs:
        again = theirs.claim(a_cell(), **TERMS)
        theirs.record_epochs(again, [an_epoch(2)])
        theirs.finish(again, "done")
    return tmp_path / "ours.sqlite", tmp_path / "theirs.sqlite"


def change(path, statement):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def merge(ours, theirs):
    with Store.open(str(ours)) as store, opened([theirs]) as databases:
        return store.merge(databases)[0]


CONTRADICTIONS = [
    ("UPDATE epoch_metrics SET test_loss = 9.5 WHERE epoch = 1", "epoch 1 test_loss", 1.25, 9.5),
    ("UPDATE epoch_metrics SET train_loss = NULL WHERE epoch = 1", "epoch 1 train_loss", 1.25, None),
    ("UPDATE alignment SET degrees = 1.5", "epoch 1 stages.0.0.conv1 weights degrees", 62.5, 1.5),
    ("UPDATE gradient_quality SET norm_ratio = NULL", "epoch 1 norm_ratio", 1.75, None),
    ("UPDATE attempt SET device = 'cuda:0' WHERE state = 'interrupted'", "device", "cpu", "cuda:0"),
    ("UPDATE attempt SET host = 'x' WHERE state = 'interrupted'", "host", "a-host", "x"),
]


@pytest.mark.parametrize(("statement", "what", "here", "there"), CONTRADICTIONS, ids=[c[1] for c in CONTRADICTIONS])
def test_a_lineage_told_in_two_ways_is_left_out_whole_and_named(pair, statement, what, here, there):
    ours, theirs = pair
    change(theirs, statement if "epoch_metrics" not in statement else f"{statement} AND train_accuracy = 0.75")
    with Store.open(str(theirs)) as store:
        trained(store, a_cell(7))
    outcome = merge(ours, theirs)
    conflicts = {(c.what, c.ours, c.theirs) for c in outcome.conflicts}
    assert (what, here, there) in conflicts
    with Store.read_only(str(ours)) as store:
        first = store.attempts(a_cell().id)
        assert [a.state for a in first] == ["interrupted"]
        assert next(c.attempt_id for c in outcome.conflicts if c.cell_id == a_cell().id) == first[0].id
        assert [row.epoch for row in store.epochs(first[0].lineage)] == [1]
        assert store.epochs(first[0].lineage)[0].test_loss == 1.25
        assert current(store, a_cell(7)).state == "done"


def test_two_ends_of_one_attempt_are_a_conflict(pair):
    ours, theirs = pair
    change(theirs, f"UPDATE attempt SET state = 'diverged' WHERE cell_id = '{a_cell(1).id}'")
    [conflict] = merge(ours, theirs).conflicts
    assert (conflict.cell_id, conflict.what, conflict.ours, conflict.theirs) == (
        a_cell(1).id,
        "state",
        "done",
        "diverged",
    )
    with Store.read_only(str(ours)) as store:
        assert current(store, a_cell(1)).state == "done"
        assert current(store, a_cell()).state == "done"


def test_a_conflict_found_again_changes_nothing_again(pair):
    ours, theirs = pair
    change(theirs, "UPDATE epoch_metrics SET test_loss = 9.5")
    first = merge(ours, theirs)
    before = content(ours)
    assert merge(ours, theirs).conflicts == first.conflicts
    assert content(ours) == before


def test_speed_and_memory_of_an_epoch_are_no_conflict(pair):
    ours, theirs = pair
    change(theirs, "UPDATE epoch_metrics SET seconds = 99, samples_per_second = 1, peak_memory_bytes = 5")
    assert merge(ours, theirs).conflicts == []


def test_an_attempt_id_that_another_cell_has_here_is_a_conflict(pair, tmp_path):
    ours, theirs = pair
    change(theirs, "DELETE FROM measurement")
    with closing(sqlite3.connect(theirs)) as connection, connection:
        [lineage] = connection.execute(
            "SELECT DISTINCT lineage FROM attempt WHERE cell_id = ?", [a_cell().id]
        ).fetchone()
        connection.execute(
            "UPDATE attempt SET cell_id = ?, number = number + 10 WHERE lineage = ?", [a_cell(1).id, lineage]
        )
    [conflict] = merge(ours, theirs).conflicts
    assert (conflict.what, conflict.ours, conflict.theirs) == ("cell_id", a_cell().id, a_cell(1).id)


def test_trainings_that_should_agree_bit_for_bit_and_do_not_are_both_kept_and_named(tmp_path):
    paths = [tmp_path / "a.sqlite", tmp_path / "b.sqlite"]
    for path, loss in zip(paths, (1.25, 1.5), strict=True):
        with Store.open(str(path)) as store:
            claim = store.claim(a_cell(), **TERMS)
            store.record_epochs(claim, [an_epoch(1), an_epoch(2, loss=loss)])
            store.finish(claim, "done")
    outcome = merge(*paths)
    [found] = outcome.disagreements
    assert (found.cell_id, found.what, found.values) == (a_cell().id, "epoch 2 train_loss", (1.25, 1.5))
    assert (outcome.attempts, outcome.conflicts) == (1, [])
    with Store.read_only(str(paths[0])) as store:
        assert tuple(a.id for a in store.attempts(a_cell().id)) == found.attempt_ids


@pytest.mark.parametrize(
    "other", [{"device": "cuda:0"}, {"provenance": Provenance("0123abc", False, {}, {"cores": 3})}]
)
def test_trainings_on_other_hardware_or_versions_may_differ(tmp_path, other):
    paths = [tmp_path / "a.sqlite", tmp_path / "b.sqlite"]
    for path, terms, tests in zip(paths, ({}, other), ((0.5,), (0.25,)), strict=True):
        with Store.open(str(path)) as store:
            trained(store, a_cell(), tests=tests, **terms)
    assert merge(*paths).disagreements == []
