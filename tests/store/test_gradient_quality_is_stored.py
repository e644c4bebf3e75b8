"""Gradient quality is written once, read in order, and has a view for users."""

import pytest
from sqlalchemy import text
from store_examples import TERMS, a_cell, a_quality, an_angle, an_epoch

from asapbench.errors import StoreError
from asapbench.store import Measured

WHOLE = a_quality(0, "", share=None)
LAYERS = [a_quality(0, "stem"), a_quality(0, "fc", share=-0.25), WHOLE]


def test_qualities_come_back_by_epoch_and_in_the_order_they_were_recorded_in(store):
    claim = store.claim(a_cell(), **TERMS)
    later = [a_quality(2, "stem", share=1 / 3), a_quality(2, "fc")]
    store.record_epochs(claim, [an_epoch(1)], [an_angle(0), *LAYERS])
    store.record_epochs(claim, [], [*LAYERS, *later])
    assert store.gradient_quality(claim.lineage) == [*LAYERS, *later]
    assert store.gradient_quality("another") == []
    assert store.alignment(claim.lineage) == [an_angle(0)]


def test_a_quality_that_differs_is_an_error_and_writes_nothing(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [], LAYERS)
    words = r"after epoch 0 the whole network \(gradient\): decrease_share is 0.125, was None; `asapbench rerun"
    with pytest.raises(StoreError, match=words):
        store.record_epochs(claim, [an_epoch(1)], [an_angle(1), a_quality(1), a_quality(0, "")])
    assert store.gradient_quality(claim.lineage) == LAYERS
    assert (store.epochs(claim.lineage), store.alignment(claim.lineage)) == ([], [])


def test_qualities_of_several_claims_are_recorded_in_one_commit(store):
    one, other = (store.claim(a_cell(seed), **TERMS) for seed in (0, 1))
    store.record_many([Measured(one, [an_epoch(1)], LAYERS), Measured(other, [an_epoch(1)], LAYERS[:1])])
    assert (store.gradient_quality(one.lineage), store.gradient_quality(other.lineage)) == (LAYERS, LAYERS[:1])
    assert [store.epochs(claim.lineage) for claim in (one, other)] == [[an_epoch(1)]] * 2


def test_the_view_names_the_cell_and_each_quantity(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [], [WHOLE])
    with store._database.reading() as connection:
        (row,) = connection.execute(text("SELECT * FROM gradient_quality_curve")).mappings()
    assert row["cell"] == "Digits ResNet-10(width=8) ASAP seed 0"
    assert (row["epoch"], row["layer"], row["norm_ratio"], row["decrease_share"]) == (0, "", 1.75, None)
    assert (row["effective_rank"], row["bp_effective_rank"], row["initial_lr"]) == (9.5, 14.25, 0.03)
