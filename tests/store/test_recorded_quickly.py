"""What a run mostly records goes past SQLAlchemy, to the same rows; whatever is unusual does not."""

import math
import sqlite3
from contextlib import closing

import pytest
from store_examples import TERMS, a_cell, an_angle, an_epoch

from asapbench.errors import AttemptLostError, StoreError
from asapbench.store import Measured, Store, claims, quick

ROWS = (
    "SELECT seed, epoch_metrics.*, epochs_done FROM epoch_metrics JOIN attempt ON attempt.id = attempt_id "
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


def test_the_usual_is_recorded_without_sqlalchemy(two, path, monkeypatch):
    store, both = two
    for name in ("record", "record_many"):
        monkeypatch.setattr(claims, name, None)
    store.record_many(usual(*both))
    store.record_epochs(both[1], [an_epoch(2)])
    assert [(row[0], row[3], row[-1]) for row in rows(path)] == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]


def test_the_rows_are_those_of_the_other_way(two, path, monkeypatch):
    store, both = two
    store.record_many(usual(*both))
    quickly = rows(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM epoch_metrics")
        database.execute("UPDATE attempt SET epochs_done = 0")
        database.commit()
    monkeypatch.setattr(quick, "record", lambda _connection, _measured: False)
    store.record_many(usual(*both))
    assert rows(path) == quickly
    assert len(quickly) == 3


def test_one_unusual_claim_leaves_nothing_half_written(two, path):
    store, (first, second) = two
    second.lease -= 1
    with closing(sqlite3.connect(path)) as database:
        assert not quick.record(database, usual(first, second))
        database.rollback()
    with pytest.raises(AttemptLostError):
        store.record_many(usual(first, second))
    assert [(row[0], row[3], row[-1]) for row in rows(path)] == [(0, 1, 2), (0, 2, 2)]


def test_angles_and_repeated_epochs_take_the_other_way(two, path):
    store, (first, second) = two
    store.record_many([Measured(first, [an_epoch(1)], [an_angle(1)]), Measured(second, [an_epoch(1)])])
    store.record_many([Measured(first, [an_epoch(1), an_epoch(2)]), Measured(second, [an_epoch(2)])])
    with pytest.raises(StoreError, match="gave another result"):
        store.record_epochs(first, [an_epoch(2, test=0.875)])
    assert [(row[0], row[3], row[-1]) for row in rows(path)] == [(0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]


def test_a_reader_records_nothing(two, path):
    _, (first, second) = two
    with Store.read_only(f"sqlite:///{path}") as reader, pytest.raises(StoreError, match="for reading only"):
        reader.record_many(usual(first, second))
    assert rows(path) == []
