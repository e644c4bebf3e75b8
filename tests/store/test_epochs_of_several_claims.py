"""Epochs of several claims share a commit, and one that is refused does not affect the others."""

import math
import sqlite3
from contextlib import closing
from dataclasses import asdict

import pytest
from store_examples import TERMS, a_cell, an_angle, an_epoch

from asapbench.errors import AttemptLostError, StoreError
from asapbench.store import Measured, Store

ROWS = (
    "SELECT seed, epoch_metrics.epoch, epochs_done FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id "
    "JOIN cell ON cell.id = cell_id ORDER BY seed, epoch"
)


@pytest.fixture
def two(path):
    """A store and two claims."""
    with Store.open(f"sqlite:///{path}") as store:
        yield store, [store.claim(a_cell(seed), **TERMS) for seed in (0, 1)]


def rows(path):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(ROWS).fetchall()


def usual(first, second):
    return [
        Measured(first, [an_epoch(1, validation=0.25), an_epoch(2, loss=math.nan)]),
        Measured(second, [an_epoch(1, loss=math.inf)]),
    ]


def test_epochs_of_two_claims_are_recorded_together(two, path):
    store, both = two
    store.record_many(usual(*both))
    store.record_epochs(both[1], [an_epoch(2)])
    assert rows(path) == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]


def test_every_column_is_stored_also_of_losses_that_are_not_finite(two, path):
    store, (first, second) = two
    store.record_many(usual(first, second))
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        stored = database.execute("SELECT * FROM epoch_metrics ORDER BY lineage, epoch").fetchall()
    expected = [
        asdict(metrics) | {"lineage": measured.claim.lineage, "attempt_id": measured.claim.attempt_id}
        for measured in sorted(usual(first, second), key=lambda measured: measured.claim.lineage)
        for metrics in measured.epochs
    ]
    for row in expected:  # SQLite has no NaN
        row |= {name: None for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
    assert [dict(row) for row in stored] == expected
    for claim, measured in zip((first, second), usual(first, second), strict=True):
        assert repr(store.epochs(claim.lineage)) == repr(measured.epochs)  # NaN is not equal to itself


def test_a_lost_claim_does_not_affect_the_other(two, path):
    store, (first, second) = two
    second.lease -= 1
    with pytest.raises(AttemptLostError):
        store.record_many(usual(first, second))
    assert rows(path) == [(0, 1, 2), (0, 2, 2)]


def test_angles_and_repeated_epochs_are_recorded_once(two, path):
    store, (first, second) = two
    store.record_many([Measured(first, [an_epoch(1)], [an_angle(1)]), Measured(second, [an_epoch(1)])])
    store.record_many([Measured(first, [an_epoch(1), an_epoch(2)]), Measured(second, [an_epoch(2)])])
    with pytest.raises(StoreError, match="gave another result"):
        store.record_epochs(first, [an_epoch(2, test=0.875)])
    assert rows(path) == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]


def test_a_reader_records_nothing(two, path):
    _, (first, second) = two
    with Store.read_only(f"sqlite:///{path}") as reader, pytest.raises(StoreError, match="for reading only"):
        reader.record_many(usual(first, second))
    assert rows(path) == []
