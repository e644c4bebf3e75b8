import pytest
from store_examples import TERMS, a_cell, an_epoch, current, trained

from asapbench.errors import StoreError


def test_a_cell_without_an_attempt_is_pending(store):
    assert store.states([a_cell().id, "0" * 64]) == {a_cell().id: None, "0" * 64: None}


def test_the_current_attempt_is_the_newest_one(store):
    trained(store, a_cell(), state="failed")
    second = store.claim(a_cell(), **TERMS)
    assert current(store, a_cell()).id == second.attempt_id


def test_superseding_makes_cells_pending_and_deletes_nothing(store):
    old = trained(store, a_cell())
    other = trained(store, a_cell(seed=1))
    assert store.supersede([a_cell().id]) == 1
    assert current(store, a_cell()) is None
    assert current(store, a_cell(seed=1)).id == other.attempt_id
    assert [attempt.state for attempt in store.attempts(a_cell().id)] == ["done"]
    assert len(store.epochs(old.lineage)) == 3
    assert store.supersede([a_cell().id]) == 0


def test_a_superseded_cell_is_trained_from_scratch(store):
    old = trained(store, a_cell(), tests=(0.5, 0.6))
    store.supersede([a_cell().id])
    new = store.claim(a_cell(), **TERMS)
    assert new.lineage not in (old.lineage, None)
    assert (new.number, new.resumed_from, new.previous) == (2, None, [])
    store.record_epochs(new, [an_epoch(1, test=0.9)])
    assert current(store, a_cell()).epochs_done == 1


def test_a_running_cell_is_not_superseded_nor_any_other_with_it(store):
    trained(store, a_cell())
    store.claim(a_cell(seed=1), **TERMS)
    with pytest.raises(StoreError, match="is running"):
        store.supersede([a_cell().id, a_cell(seed=1).id])
    assert current(store, a_cell()).state == "done"


def test_results_are_chosen_by_suite_by_cell_or_by_both(store):
    cells = [a_cell(seed) for seed in (3, 1, 2)]
    store.record_suite("mine", "shipped", cells)
    for cell in [*cells, a_cell(9)]:
        trained(store, cell)

    def seeds(results):
        return [result.cell.seed for result in results]

    assert seeds(store.results(suite="mine")) == [3, 1, 2]
    assert seeds(store.results_of([a_cell(9).id, a_cell(1).id, a_cell(7).id])) == [9, 1]
    assert sorted(seeds(store.results())) == [1, 2, 3, 9]
    assert store.results_of([]) == []


def test_a_result_is_the_current_attempt_in_any_state(store):
    store.record_suite("mine", "shipped", [a_cell(seed) for seed in range(4)])
    trained(store, a_cell(0), state="diverged")
    trained(store, a_cell(1))
    store.supersede([a_cell(1).id])
    store.claim(a_cell(2), **TERMS)
    found = {result.cell.seed: result.attempt.state for result in store.results(suite="mine")}
    assert found == {0: "diverged", 2: "running"}


def test_more_cells_than_fit_one_statement_are_asked_for_at_once(store):
    trained(store, a_cell())
    ids = [f"{number:064x}" for number in range(40_000)]
    found = store.states([*ids, a_cell().id])
    assert len(found) == 40_001
    assert found[a_cell().id].state == "done"
