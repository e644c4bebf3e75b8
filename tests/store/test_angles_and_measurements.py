import pytest
from sqlalchemy import text
from store_examples import A_MEASUREMENT, PROVENANCE, TERMS, a_cell, an_angle, an_epoch, trained

from asapbench.errors import AttemptLostError, StoreError
from asapbench.metrics import Measurement

FORWARD = [an_angle(0, "stem"), an_angle(0, "fc"), an_angle(0, "stem", quantity="update", degrees=None)]


def test_angles_come_back_by_epoch_and_in_the_order_they_were_recorded_in(store):
    claim = store.claim(a_cell(), **TERMS)
    later = [an_angle(2, "stem", degrees=1 / 3), an_angle(2, "fc")]
    store.record_epochs(claim, [an_epoch(1)], FORWARD)
    store.record_epochs(claim, [], later)
    assert store.alignment(claim.lineage) == [*FORWARD, *later]
    assert store.alignment("another") == []


def test_a_repeated_angle_is_recorded_once(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [], FORWARD)
    store.record_epochs(claim, [], [*FORWARD, an_angle(1, "stem")])
    assert store.alignment(claim.lineage) == [*FORWARD, an_angle(1, "stem")]


def test_an_angle_that_differs_is_an_error_and_writes_nothing(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [], FORWARD)
    words = r"after epoch 0 fc \(weights\): degrees is 9.0, was 62.5; `asapbench rerun"
    with pytest.raises(StoreError, match=words):
        store.record_epochs(claim, [an_epoch(1)], [an_angle(1, "fc"), an_angle(0, "fc", degrees=9.0)])
    assert store.alignment(claim.lineage) == FORWARD
    assert store.epochs(claim.lineage) == []


def test_a_claim_that_was_lost_writes_no_angle(store):
    claim = store.claim(a_cell(), **TERMS)
    claim.lease -= 1
    with pytest.raises(AttemptLostError):
        store.record_epochs(claim, [], FORWARD)
    assert store.alignment(claim.lineage) == []


def test_a_resumed_attempt_adds_to_the_angles_of_its_lineage(store):
    first = store.claim(a_cell(), **TERMS)
    store.record_epochs(first, [an_epoch(1)], FORWARD)
    store.finish(first, "interrupted")
    second = store.claim(a_cell(), **TERMS)
    store.record_epochs(second, [an_epoch(1)], [*FORWARD, an_angle(1, "fc")])
    assert store.alignment(second.lineage) == [*FORWARD, an_angle(1, "fc")]
    assert second.lineage == first.lineage


def test_the_view_alignment_curve_names_the_cell_of_each_angle(store):
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [], [an_angle(0, "fc")])
    with store._database.reading() as connection:
        (row,) = connection.execute(text("SELECT * FROM alignment_curve")).mappings()
    assert row["cell"] == "Digits ResNet-10(width=8) ASAP seed 0"
    assert (row["epoch"], row["layer"], row["quantity"], row["degrees"]) == (0, "fc", "weights", 62.5)


def test_of_measurements_the_newest_counts_and_the_older_stay(store):
    claims = [trained(store, a_cell(seed)) for seed in range(3)]
    ids = [claim.attempt_id for claim in claims]
    old = Measurement("conv", "angle", 90.0, spread=None, n=1)
    store.record_measurements("shortcut", ids[0], [old, A_MEASUREMENT], PROVENANCE)
    store.record_measurements("shortcut", ids[1], [old], PROVENANCE)
    store.record_measurements("other", ids[2], [old], PROVENANCE)
    new = Measurement("conv", "angle", None, spread=None, n=2)
    store.record_measurements("shortcut", ids[0], [new], PROVENANCE)
    assert store.measurements("shortcut", ids) == {ids[0]: [new, A_MEASUREMENT], ids[1]: [old]}
    assert store.measurements("shortcut", ids[1:2]) == {ids[1]: [old]}
    with store._database.reading() as connection:
        rows = connection.execute(text("SELECT cell, quantity, value, n FROM analysis_result")).all()
    assert len(rows) == 5
    assert ("Digits ResNet-10(width=8) ASAP seed 0", "angle", 90.0, 1) in rows
