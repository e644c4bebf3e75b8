import math
from dataclasses import replace

import pytest
from store_examples import TERMS, a_cell, an_epoch, current

from asapbench.errors import StoreError


def test_epochs_come_back_as_they_were_recorded(store):
    claim = store.claim(a_cell(), **TERMS)
    rows = [an_epoch(1, test=1 / 3), replace(an_epoch(2, validation=0.1), peak_memory_bytes=3 * 2**40)]
    store.record_epochs(claim, rows)
    assert store.epochs(claim.lineage) == rows
    assert current(store, a_cell()).epochs_done == 2


def test_a_loss_that_is_not_finite_comes_back(store):
    claim = store.claim(a_cell(), **TERMS)
    rows = [an_epoch(1, loss=math.inf), an_epoch(2, loss=math.nan), an_epoch(3, loss=math.nan, validation=0.5)]
    store.record_epochs(claim, rows)
    store.record_epochs(claim, rows)
    back = store.epochs(claim.lineage)
    assert back[0].train_loss == math.inf
    assert math.isnan(back[1].train_loss)
    assert back[1].validation_loss is None
    assert math.isnan(back[2].validation_loss)


def test_an_epoch_that_repeats_its_result_at_another_speed_is_recorded_once(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [an_epoch(1), an_epoch(2)])
    store.record_epochs(claim, [an_epoch(2, seconds=99.0), an_epoch(3)])
    assert [(row.epoch, row.seconds) for row in store.epochs(claim.lineage)] == [(1, 2.0), (2, 2.0), (3, 2.0)]


def test_an_epoch_that_differs_is_an_error_and_writes_nothing(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [an_epoch(1, test=0.5)])
    with pytest.raises(StoreError, match=r"epoch 1 .*test_accuracy 0\.6, was 0\.5.*asapbench rerun"):
        store.record_epochs(claim, [an_epoch(1, test=0.6), an_epoch(2)])
    assert [row.test_accuracy for row in store.epochs(claim.lineage)] == [0.5]
    with pytest.raises(StoreError, match="epoch 2"):
        store.record_epochs(claim, [an_epoch(2), an_epoch(2, test=0.9)])


def test_a_resumed_attempt_adds_to_the_epochs_of_its_lineage(store):
    first = store.claim(a_cell(), **TERMS)
    store.record_epochs(first, [an_epoch(1)])
    store.finish(first, "interrupted")
    second = store.claim(a_cell(), **TERMS)
    store.record_epochs(second, [an_epoch(1), an_epoch(2)])
    assert [row.epoch for row in store.epochs(first.lineage)] == [1, 2]
    assert current(store, a_cell()).epochs_done == 2


def test_same_result_looks_at_everything_but_speed():
    row = an_epoch(1)
    assert row.same_result(replace(row, seconds=9.0, samples_per_second=1.0, peak_memory_bytes=7))
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "validation_loss", "lr", "epoch"):
        assert not row.same_result(replace(row, **{name: 9}))
    assert an_epoch(1, loss=math.nan).same_result(an_epoch(1, loss=math.nan))
    assert not row.same_result(an_epoch(1, loss=math.nan))
