import pytest
from store_examples import NOBODY, PROVENANCE, TERMS, a_cell, an_epoch, current, trained

from asapbench.errors import StoreError


def test_the_first_claim_begins_a_lineage(store):
    claim = store.claim(a_cell(), **TERMS)
    assert (claim.lineage, claim.number, claim.resumed_from, claim.previous) == (claim.attempt_id, 1, None, [])
    attempt = current(store, a_cell())
    assert (attempt.state, attempt.lease, attempt.device, attempt.owner) == ("running", claim.lease, "cpu", NOBODY)
    assert store.provenance(attempt.provenance_id) == PROVENANCE


def test_a_running_cell_is_not_claimed_again(store):
    assert store.claim(a_cell(), **TERMS)
    assert store.claim(a_cell(), **TERMS) is None
    assert store.claim(a_cell(seed=1), **TERMS)


@pytest.mark.parametrize("state", ["done", "diverged"])
def test_a_cell_with_its_result_is_not_claimed_again(store, state):
    trained(store, a_cell(), state=state)
    assert store.claim(a_cell(), **TERMS) is None
    assert store.claim(a_cell(), **TERMS, from_scratch=True) is None


@pytest.mark.parametrize("state", ["interrupted", "failed", "out_of_memory"])
def test_a_cell_that_stopped_continues_its_lineage(store, state):
    first = trained(store, a_cell(), tests=(0.5, 0.6), state=state)
    second = store.claim(a_cell(), **TERMS)
    store.finish(second, state)
    third = store.claim(a_cell(), **TERMS)
    assert third.lineage == second.lineage == first.attempt_id
    assert third.resumed_from == second.attempt_id
    assert third.previous == [second.attempt_id, first.attempt_id]
    assert third.number == 3
    assert current(store, a_cell()).epochs_done == 2


def test_a_claim_from_scratch_starts_another_lineage_beside_the_old(store):
    old = trained(store, a_cell(), tests=(0.5,), state="interrupted")
    new = store.claim(a_cell(), **TERMS, from_scratch=True)
    assert (new.lineage, new.number, new.resumed_from, new.previous) == (new.attempt_id, 2, None, [])
    store.record_epochs(new, [an_epoch(1, test=0.9)])
    assert [row.test_accuracy for row in store.epochs(old.lineage)] == [0.5]
    assert current(store, a_cell()).id == new.attempt_id


def test_a_claim_continues_an_older_lineage_that_is_named(store):
    old = trained(store, a_cell(), tests=(0.5, 0.6), state="interrupted")
    new = store.claim(a_cell(), **TERMS, from_scratch=True)
    store.finish(new, "interrupted", bit_exact=False)
    third = store.claim(a_cell(), **TERMS, lineage=old.lineage)
    assert (third.lineage, third.number, third.resumed_from) == (old.lineage, 3, old.attempt_id)
    assert third.previous == [old.attempt_id]
    assert (current(store, a_cell()).epochs_done, current(store, a_cell()).bit_exact) == (2, True)
    store.record_epochs(third, [an_epoch(3, test=0.7)])
    store.finish(third, "interrupted")
    fourth = store.claim(a_cell(), **TERMS)
    assert (fourth.lineage, fourth.resumed_from) == (old.lineage, third.attempt_id)


def test_a_lineage_that_is_superseded_is_not_continued(store):
    old = trained(store, a_cell(), tests=(0.5,), state="interrupted")
    store.supersede([a_cell().id])
    new = store.claim(a_cell(), **TERMS, lineage=old.lineage)
    assert (new.lineage, new.number, new.resumed_from, new.previous) == (new.attempt_id, 2, None, [])


@pytest.mark.parametrize("state", ["running", "done", "diverged"])
def test_no_older_lineage_is_claimed_beside_a_running_attempt_or_a_result(store, state):
    old = trained(store, a_cell(), tests=(0.5,), state="interrupted")
    new = store.claim(a_cell(), **TERMS, from_scratch=True)
    if state != "running":
        store.finish(new, state)
    assert store.claim(a_cell(), **TERMS, lineage=old.lineage) is None


def test_the_same_provenance_is_stored_once(store):
    trained(store, a_cell())
    trained(store, a_cell(seed=1))
    ids = {attempt.provenance_id for cell in (a_cell(), a_cell(seed=1)) for attempt in store.attempts(cell.id)}
    assert len(ids) == 1
    with pytest.raises(StoreError, match="no provenance feed"):
        store.provenance("feed")


def test_what_an_attempt_could_not_repeat_exactly_marks_the_rest_of_its_lineage(store):
    first = store.claim(a_cell(), **TERMS)
    store.finish(first, "interrupted", bit_exact=False)
    second = store.claim(a_cell(), **TERMS)
    store.finish(second, "done", bit_exact=True)
    assert current(store, a_cell()).bit_exact is False
    assert current(store, a_cell()).state == "done"


def test_finish_keeps_the_traceback_the_log_and_the_weights(store):
    claim = store.claim(a_cell(), **TERMS)
    store.finish(claim, "failed", error="Traceback\n  ...", log_tail="é\n", weights_path="w/1", weights_digest="ab")
    attempt = current(store, a_cell())
    assert (attempt.error, attempt.log_tail) == ("Traceback\n  ...", "é\n")
    assert (attempt.weights_path, attempt.weights_digest) == ("w/1", "ab")
    assert attempt.started_at <= attempt.ended_at
    assert attempt.ended_at.endswith("+00:00")


def test_an_error_that_no_database_could_hold_is_kept_as_far_as_it_can_be(store):
    claim = store.claim(a_cell(), **TERMS)
    store.finish(claim, "failed", error="OSError: '/data/\udcff'", log_tail="before\0after\n")
    attempt = current(store, a_cell())
    assert (attempt.error, attempt.log_tail) == ("OSError: '/data/\\udcff'", "before\N{REPLACEMENT CHARACTER}after\n")
