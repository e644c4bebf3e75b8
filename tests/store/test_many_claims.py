"""What a run of a thousand slots writes takes as many statements as what a run of two writes."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event
from store_examples import TERMS, a_cell, an_epoch

from asapbench.errors import AttemptLostError
from asapbench.store import Measured, Store


@contextmanager
def statements(store):
    """The words that statements begin with."""
    found = []

    def note(_connection, _cursor, statement, _parameters, _context, _executemany):
        found.append(statement.split()[0])

    event.listen(store._database.engine, "before_cursor_execute", note)
    yield found
    event.remove(store._database.engine, "before_cursor_execute", note)


@pytest.fixture
def claims(store):
    return [store.claim(a_cell(seed), **TERMS) for seed in range(5)]


def test_the_leases_of_all_claims_are_advanced_in_one_statement(store, claims):
    with statements(store) as found:
        assert store.heartbeat(claims) == []
    assert found.count("UPDATE") == 1
    assert [attempt.lease for attempt in store.running()] == [2] * 5 == [claim.lease for claim in claims]


def test_claims_that_were_lost_are_named_and_the_others_advanced(store, claims):
    (attempt,) = [attempt for attempt in store.running() if attempt.id == claims[3].attempt_id]
    assert store.take_over(attempt)
    assert store.heartbeat(claims) == [claims[3]]
    assert [claim.lease for claim in claims] == [2, 2, 2, 1, 2]
    assert [attempt.lease for attempt in store.running()] == [2] * 4


def test_a_lease_that_was_advanced_by_a_call_whose_answer_was_lost_is_advanced_once(store, claims):
    store.heartbeat(claims)
    claims[0].lease -= 1
    assert store.heartbeat(claims[:1]) == []
    assert claims[0].lease == 2
    assert {attempt.lease for attempt in store.running()} == {2}


def test_epochs_of_all_claims_are_recorded_in_two_statements_on_a_server(postgresql_url):
    with Store.open(postgresql_url) as store:
        claims = [store.claim(a_cell(seed), **TERMS) for seed in range(5)]
        with statements(store) as found:
            store.record_many([Measured(claim, [an_epoch(1), an_epoch(2)]) for claim in claims])
        assert (found.count("UPDATE"), found.count("INSERT")) == (1, 1)
        assert {attempt.epochs_done for attempt in store.running()} == {2}
        assert all([row.epoch for row in store.epochs(claim.lineage)] == [1, 2] for claim in claims)


def test_one_lost_claim_costs_the_others_no_epoch(store, claims):
    claims[3].lease -= 1
    with pytest.raises(AttemptLostError):
        store.record_many([Measured(claim, [an_epoch(1)]) for claim in claims])
    assert [len(store.epochs(claim.lineage)) for claim in claims] == [1, 1, 1, 0, 1]


def test_a_repeated_epoch_is_recorded_once_beside_new_ones(store, claims):
    store.record_many([Measured(claims[0], [an_epoch(1)])])
    store.record_many([Measured(claim, [an_epoch(1), an_epoch(2)]) for claim in claims])
    assert [len(store.epochs(claim.lineage)) for claim in claims] == [2] * 5
