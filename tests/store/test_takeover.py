import platform

import pytest
from store_examples import TERMS, a_cell, an_epoch, current

from asapbench.errors import AttemptLostError
from asapbench.store import Measured, OwnerProcess, Store


def everything(store, cell):
    return store.attempts(cell.id), [store.epochs(attempt.lineage) for attempt in store.attempts(cell.id)]


@pytest.fixture
def sleeper(store):
    """A claim whose cell another run has taken over while its owner slept."""
    claim = store.claim(a_cell(), **TERMS)
    store.record_epochs(claim, [an_epoch(1)])
    assert store.take_over(current(store, a_cell()))
    return claim


@pytest.mark.parametrize("taken", [True, False], ids=["claimed by another", "only released"])
@pytest.mark.parametrize(
    "write",
    [
        lambda store, claim: store.record_epochs(claim, [an_epoch(2)]),
        lambda store, claim: store.record_epochs(claim, [an_epoch(1)]),
        lambda store, claim: store.record_many([Measured(claim, [an_epoch(2)])]),
        lambda store, claim: store.finish(claim, "done"),
    ],
    ids=["new epoch", "old epoch", "many", "finish"],
)
def test_a_sleeper_that_wakes_overwrites_nothing(store, sleeper, write, taken):
    if taken:
        assert store.claim(a_cell(), **TERMS).resumed_from == sleeper.attempt_id
    before = everything(store, a_cell())
    with pytest.raises(AttemptLostError, match="wrote nothing"):
        write(store, sleeper)
    assert everything(store, a_cell()) == before


def test_a_heartbeat_tells_which_claims_are_lost(store, sleeper):
    held = store.claim(a_cell(seed=1), **TERMS)
    lease, lost_lease = held.lease, sleeper.lease
    assert store.heartbeat([sleeper, held]) == [sleeper]
    assert (held.lease, sleeper.lease) == (lease + 1, lost_lease)
    assert current(store, a_cell(seed=1)).lease == lease + 1
    store.record_epochs(held, [an_epoch(1)])


def test_a_heartbeat_since_the_look_prevents_a_takeover(store):
    claim = store.claim(a_cell(), **TERMS)
    seen = current(store, a_cell())
    store.heartbeat([claim])
    assert not store.take_over(seen)
    assert current(store, a_cell()).state == "running"
    assert store.take_over(current(store, a_cell()))
    assert current(store, a_cell()).state == "interrupted"


def test_a_write_with_an_old_lease_is_refused(store):
    claim = store.claim(a_cell(), **TERMS)
    claim.lease -= 1
    with pytest.raises(AttemptLostError):
        store.record_epochs(claim, [an_epoch(1)])
    assert store.epochs(claim.lineage) == []


def test_one_lost_claim_costs_the_others_nothing(store, sleeper):
    held = store.claim(a_cell(seed=1), **TERMS)
    with pytest.raises(AttemptLostError):
        store.record_many([Measured(sleeper, [an_epoch(2)]), Measured(held, [an_epoch(1)])])
    assert [row.epoch for row in store.epochs(held.lineage)] == [1]
    assert [row.epoch for row in store.epochs(sleeper.lineage)] == [1]


def test_the_dead_are_released_and_the_living_are_not(store):
    me = OwnerProcess.of_this_process()
    dead = OwnerProcess(platform.node(), me.boot_id, me.pid, me.pid_started - 100)
    store.claim(a_cell(0), **TERMS | {"owner": me})
    store.claim(a_cell(1), **TERMS | {"owner": dead})
    store.claim(a_cell(2), **TERMS)  # on another host: nobody knows
    released = store.release_dead(stale=lambda attempt: False)
    assert [attempt.cell_id for attempt in released] == [a_cell(1).id]
    assert {attempt.cell_id for attempt in store.running()} == {a_cell(0).id, a_cell(2).id}
    stale = store.release_dead(stale=lambda attempt: attempt.host == "a-host")
    assert [attempt.cell_id for attempt in stale] == [a_cell(2).id]


def test_a_finished_attempt_is_not_finished_again(store, url):
    claim = store.claim(a_cell(), **TERMS)
    store.finish(claim, "diverged")
    with Store.open(url) as other, pytest.raises(AttemptLostError, match="is diverged"):
        other.finish(claim, "done")
    assert current(store, a_cell()).state == "diverged"
