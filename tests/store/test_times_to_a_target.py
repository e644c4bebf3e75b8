"""When a lineage first reaches a validation accuracy, and how long it trained until then."""

import pytest
from sqlalchemy import update
from store_examples import PROVENANCE, TERMS, a_cell, an_epoch

from asapbench.errors import StoreError
from asapbench.store import Provenance, Reached
from asapbench.store.schema import epoch_metrics


def trained(store, cell, validations, *, state="done", first=1, **terms):
    claim = store.claim(cell, **(TERMS | terms))
    rows = [an_epoch(n, validation=v, seconds=2.0 + n) for n, v in enumerate(validations, start=first)]
    store.record_epochs(claim, rows)
    store.finish(claim, state)
    return claim.lineage


def test_the_first_epoch_counts_with_the_seconds_up_to_its_end_and_later_ones_do_not(store):
    one = trained(store, a_cell(), (0.25, 0.75, 0.5, 1.0))
    assert store.times_to([one], 0.75) == {one: Reached(one, 1.0, epoch=2, seconds=3.0 + 4.0)}
    assert store.times_to([one], 0.76) == {one: Reached(one, 1.0, epoch=4, seconds=3.0 + 4.0 + 5.0 + 6.0)}


def test_a_lineage_that_never_reaches_it_has_its_best_accuracy_alone(store):
    one = trained(store, a_cell(), (0.25, 0.5, 0.375))
    assert store.times_to([one], 0.6) == {one: Reached(one, 0.5, epoch=None, seconds=None)}


def test_the_epochs_of_a_resumed_lineage_count_together(store):
    one = trained(store, a_cell(), (0.25, 0.5), state="interrupted")
    assert trained(store, a_cell(), (0.75,), first=3) == one
    assert store.times_to([one], 0.75)[one] == Reached(one, 0.75, epoch=3, seconds=3.0 + 4.0 + 5.0)


def test_a_lineage_without_validation_data_or_epochs_is_left_out(store):
    without, empty = trained(store, a_cell(), (None, None)), trained(store, a_cell(seed=1), ())
    assert store.times_to([without, empty, "unknown"], 0.5) == {}


def test_an_epoch_whose_accuracy_is_not_a_number_is_no_target(store):
    one = trained(store, a_cell(), (float("nan"), 0.5))
    assert store.times_to([one], 0.5)[one].epoch == 2


def test_more_lineages_than_fit_one_query_are_all_found(store, monkeypatch):
    monkeypatch.setattr("asapbench.store.cells.CHUNK", 2)
    every = [trained(store, a_cell(seed=seed), (0.1 * seed,)) for seed in range(5)]
    assert [store.times_to(every, 0.2)[one].epoch for one in every] == [None, None, 1, 1, 1]


def test_a_time_that_nobody_measured_is_refused(store):
    one = trained(store, a_cell(), (0.5,))
    with store._database.engine.begin() as connection:
        connection.execute(update(epoch_metrics).values(seconds=1e200))
    with pytest.raises(StoreError, match=r"seconds: 1e\+200 is not a number that could be measured"):
        store.times_to([one], 0.5)


def test_each_device_of_a_lineage_is_told_with_what_it_ran_on(store):
    other = Provenance("0123abc", False, {"torch": "2.14.1"}, {"cpu": "another", "cores": 8})
    one = trained(store, a_cell(), (0.25,), state="interrupted")
    trained(store, a_cell(), (0.5,), first=2, state="interrupted")
    trained(store, a_cell(), (0.75,), first=3, device="cuda GPU-1", provenance=other)
    assert store.devices_of([one]) == {one: [("cpu", PROVENANCE), ("cuda GPU-1", other)]}
