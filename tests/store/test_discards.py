"""Discarded results are kept and left out; the last decision about a cell counts, in whichever database it was made."""

import sqlite3
from contextlib import closing

import pytest
from store_examples import TERMS, a_cell, trained

from asapbench.errors import StoreError
from asapbench.store import Store
from asapbench.store.untrusted_import import opened

WHY = "the learning rate was wrong"


@pytest.fixture
def filled(store):
    store.record_suite("mine", "shipped", [a_cell(seed) for seed in range(3)])
    for seed in range(3):
        trained(store, a_cell(seed))
    return store


def seeds_of(store, **options):
    return [result.cell.seed for result in store.results(**options)]


@pytest.mark.parametrize("suite", ["mine", None])
def test_a_discarded_cell_is_left_out_of_results_and_keeps_its_rows(filled, suite):
    filled.discard([a_cell(1).id], WHY)
    assert seeds_of(filled, suite=suite) == [0, 2]
    assert [cell.seed for cell in filled.readable_cells("mine")[0]] == [0, 2]
    assert [cell.seed for cell in filled.readable_cells("mine", with_discarded=True)[0]] == [0, 1, 2]
    [attempt] = filled.attempts(a_cell(1).id)
    assert (attempt.state, len(filled.epochs(attempt.lineage))) == ("done", 3)
    assert {cell_id: found.reason for cell_id, found in filled.discards().items()} == {a_cell(1).id: WHY}
    assert filled.discards(suite="mine").keys() == {a_cell(1).id}
    assert filled.discards(suite="another") == {}


def test_a_restored_cell_is_reported_again_and_every_decision_stays(filled):
    for _ in range(3):  # faster than the clock, which counts milliseconds
        filled.discard([a_cell(1).id], WHY)
        assert seeds_of(filled) == [0, 2]
        filled.restore([a_cell(1).id])
        assert seeds_of(filled) == [0, 1, 2]
    with filled._database.reading() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM discard").scalar() == 6


def test_a_cell_that_is_discarded_already_keeps_its_reason_and_time(filled):
    filled.discard([a_cell(1).id], WHY)
    before = filled.discards()
    filled.discard([a_cell(1).id, a_cell(2).id], "another reason")
    found = filled.discards()
    assert found[a_cell(1).id] == before[a_cell(1).id]
    assert found[a_cell(2).id].reason == "another reason"
    filled.restore([a_cell(0).id])  # was not discarded
    assert seeds_of(filled) == [0]


def test_a_running_cell_is_not_discarded_nor_are_the_others(store):
    trained(store, a_cell(0))
    store.claim(a_cell(1), **TERMS)
    with pytest.raises(StoreError, match=f"cell {a_cell(1).short} is running: stop its run .Ctrl-C. or wait for it"):
        store.discard([a_cell(0).id, a_cell(1).id], WHY)
    assert store.discards() == {}


def test_a_run_cannot_claim_a_discarded_cell(store):
    trained(store, a_cell(), state="failed")
    store.discard([a_cell().id], WHY)
    assert store.claim(a_cell(), **TERMS) is None
    store.restore([a_cell().id])
    assert store.claim(a_cell(), **TERMS) is not None


def test_superseded_cells_are_restored_so_that_a_rerun_trains_them(filled):
    filled.discard([a_cell(1).id], WHY)
    filled.supersede([a_cell(1).id])
    assert filled.discards() == {}
    assert filled.claim(a_cell(1), **TERMS) is not None


def test_a_claim_reads_the_decisions_of_its_own_cell_only(filled, monkeypatch):
    filled.discard([a_cell(0).id, a_cell(1).id, a_cell(2).id], WHY)
    seen = []
    monkeypatch.setattr("asapbench.store.discards.checked", lambda kind, row: seen.append(row["cell_id"]))
    filled.claim(a_cell(3), **TERMS)
    assert seen == []


def test_a_reason_that_no_database_can_hold_is_stored_with_escapes(filled):
    filled.discard([a_cell(1).id], "bad\udcff\0")
    assert filled.discards()[a_cell(1).id].reason == "bad\\udcff\N{REPLACEMENT CHARACTER}"


def test_a_suite_recorded_again_keeps_its_discarded_cells(filled):
    filled.discard([a_cell(1).id], WHY)
    filled.record_suite("mine", "shipped", [a_cell(0), a_cell(3)])
    assert [cell.seed for cell in filled.readable_cells("mine", with_discarded=True)[0]] == [0, 1, 2, 3]


# Exports and merges


def merged(store, *files):
    with opened(files) as databases:
        return store.merge(databases)


def test_an_export_carries_discarded_cells_with_the_decision(filled, tmp_path):
    filled.discard([a_cell(1).id], WHY)
    assert filled.export(tmp_path / "out.sqlite").discards == 1
    with Store.open(str(tmp_path / "other.sqlite")) as other:
        [held] = merged(other, tmp_path / "out.sqlite")
        assert (held.cells, held.discards) == (3, 1)
        assert other.discards() == filled.discards()
        assert merged(other, tmp_path / "out.sqlite")[0].discards == 0


def test_of_two_databases_the_last_decision_counts_in_whichever_order_they_merge(filled, tmp_path):
    first, second = tmp_path / "first.sqlite", tmp_path / "second.sqlite"
    filled.discard([a_cell(0).id, a_cell(1).id], WHY)
    filled.export(first)
    filled.restore([a_cell(0).id])
    filled.export(second)
    for number, order in enumerate([(first, second), (second, first)]):
        with Store.open(str(tmp_path / f"{number}.sqlite")) as other:
            merged(other, *order)
            assert other.discards().keys() == {a_cell(1).id}
            assert other.discards() == filled.discards()


def test_an_older_discard_of_another_database_does_not_hide_what_was_trained_again_since(filled, tmp_path):
    filled.export(tmp_path / "before.sqlite")
    filled.discard([a_cell(1).id], WHY)
    filled.export(tmp_path / "discarded.sqlite")
    with Store.open(str(tmp_path / "other.sqlite")) as other:
        merged(other, tmp_path / "before.sqlite")
        for _ in range(2):  # the second time in vain
            other._database.write(
                other.supersede.__wrapped__, [a_cell(1).id], decided_at="2098-01-01T00:00:00.000+00:00"
            )
        trained(other, a_cell(1))
        [held] = merged(other, tmp_path / "discarded.sqlite")
        assert (held.discards, held.discarded, held.restored) == (1, 0, 0)
        assert seeds_of(other) == [0, 1, 2]
        with other._database.reading() as connection:
            assert connection.exec_driver_sql("SELECT COUNT(*) FROM discard").scalar() == 2


def test_a_merge_counts_the_cells_that_it_discards_and_restores(filled, tmp_path):
    filled.export(tmp_path / "before.sqlite")
    filled.discard([a_cell(0).id, a_cell(1).id], WHY)
    filled.export(tmp_path / "discarded.sqlite")
    filled.restore([a_cell(0).id])
    filled.export(tmp_path / "restored.sqlite")
    with Store.open(str(tmp_path / "other.sqlite")) as other:
        files = [tmp_path / f"{name}.sqlite" for name in ("before", "discarded", "restored")]
        assert [(one.discarded, one.restored) for one in merged(other, *files)] == [(0, 0), (2, 0), (0, 1)]


def test_an_anonymous_export_has_no_reasons_and_can_be_merged(filled, tmp_path):
    filled.discard([a_cell(1).id], "Alice used the wrong learning rate")
    filled.export(tmp_path / "one.sqlite", anonymous=True)
    merged(filled, tmp_path / "one.sqlite")  # two decisions of one time
    assert filled.discards().keys() == {a_cell(1).id}
    filled.export(tmp_path / "two.sqlite", anonymous=True)
    assert b"Alice" not in (tmp_path / "two.sqlite").read_bytes()
    with Store.open(str(tmp_path / "other.sqlite")) as other:
        assert merged(other, tmp_path / "two.sqlite")[0].discards == 1
        assert other.discards()[a_cell(1).id].reason is None


def test_a_decision_comes_after_one_of_a_machine_whose_clock_is_ahead(filled):
    ahead = "2199-01-01T00:00:00.000+00:00"
    filled._database.write(filled.discard.__wrapped__, [a_cell(1).id], WHY, decided_at=ahead)
    filled.restore([a_cell(1).id])
    assert filled.discards() == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("reason = 'forged'", "the content is not that of its identity"),
        ("discarded = 0", "the content is not that of its identity"),
        ("decided_at = 'yesterday'", "no time"),
    ],
)
def test_a_forged_decision_is_refused(tmp_path, change, fault):
    with Store.open(str(tmp_path / "made.sqlite")) as store:
        trained(store, a_cell())
        store.discard([a_cell().id], WHY)
        store.export(tmp_path / "out.sqlite")
    with closing(sqlite3.connect(tmp_path / "out.sqlite")) as connection, connection:
        connection.execute(f"UPDATE discard SET {change}")
    with Store.open(str(tmp_path / "other.sqlite")) as other, pytest.raises(StoreError, match=fault):
        merged(other, tmp_path / "out.sqlite")


def test_a_decision_in_the_future_is_refused(tmp_path):
    with Store.open(str(tmp_path / "made.sqlite")) as store:
        trained(store, a_cell())
        late = "2999-01-01T00:00:00.000+00:00"
        store._database.write(store.discard.__wrapped__, [a_cell().id], WHY, decided_at=late)
        store.export(tmp_path / "out.sqlite")
    with Store.open(str(tmp_path / "other.sqlite")) as other, pytest.raises(StoreError, match="is in the future"):
        merged(other, tmp_path / "out.sqlite")
