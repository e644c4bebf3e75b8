"""A run that finds cells held by a process that it cannot see: the lease says whether that process lives."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import pytest
from store_examples import TERMS, a_cell, current

from asapbench.errors import StoreError
from asapbench.running import leases
from asapbench.store import OwnerProcess


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.3)
    monkeypatch.setattr(leases, "_POLL_SECONDS", 0.05)


def of_another_boot():
    return replace(OwnerProcess.of_this_process(), boot_id="another boot pid:[1]")


def in_another_container():
    me = OwnerProcess.of_this_process()
    return replace(me, boot_id=f"{me.boot_id.partition(' ')[0]} pid:[1]")


def release(store, **options):
    said = []
    leases.release(store, {a_cell().id}, say=said.append, should_stop=Event().is_set, **options)
    return " ".join(said)


def test_of_two_machines_of_one_name_neither_takes_the_other_for_dead(store, monkeypatch):
    claim = store.claim(a_cell(), **TERMS | {"owner": of_another_boot()})
    assert store.release_dead() == []
    if store.path is None:  # PostgreSQL serves several
        assert release(store) == ""
        assert current(store, a_cell()).state == "running"
        return
    monkeypatch.setattr(leases.time, "sleep", lambda _: store.heartbeat([claim]))
    with pytest.raises(StoreError, match="SQLite serves one host"):
        release(store)
    assert current(store, a_cell()).state == "running"


def test_what_an_earlier_boot_left_is_taken_over_after_its_lease(store):
    store.claim(a_cell(), **TERMS | {"owner": of_another_boot()})
    said = release(store, all_unseen=True)
    assert "cannot be seen from here: waiting" in said
    assert "1 cell was left" in said
    assert current(store, a_cell()).state == "interrupted"


def test_another_containers_cells_are_left_to_it_while_others_train(store):
    store.claim(a_cell(), **TERMS | {"owner": in_another_container()})
    assert release(store) == ""
    assert current(store, a_cell()).state == "running"


def test_a_rerun_refuses_cells_that_another_container_trains(store, monkeypatch):
    claim = store.claim(a_cell(), **TERMS | {"owner": in_another_container()})
    monkeypatch.setattr(leases.time, "sleep", lambda _: store.heartbeat([claim]))
    with pytest.raises(StoreError, match=r"is running .*: stop its run or wait for it, and retry"):
        release(store, all_unseen=True)
    assert current(store, a_cell()).state == "running"
