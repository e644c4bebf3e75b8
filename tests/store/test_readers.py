import os

import pytest
from store_examples import TERMS, a_cell, an_epoch, trained

from asapbench.errors import StoreError
from asapbench.store import Store, connect


def test_a_reader_reads_while_a_writer_writes(store, url):
    trained(store, a_cell())
    with Store.read_only(url) as reader, store._database.writing():
        assert [result.cell for result in reader.results()] == [a_cell()]
    with Store.read_only(url) as reader:
        claim = store.claim(a_cell(1), **TERMS)
        store.record_epochs(claim, [an_epoch(1)])
        assert reader.states([a_cell(1).id])[a_cell(1).id].epochs_done == 1


def test_a_reader_writes_nothing(store, url):
    with Store.read_only(url) as reader:
        with pytest.raises(StoreError, match="opened for reading only"):
            reader.claim(a_cell(), **TERMS)
        with pytest.raises(StoreError, match="opened for reading only"):
            reader.record_suite("mine", "shipped", [])
    assert store.attempts(a_cell().id) == []


def test_a_database_in_a_directory_that_cannot_be_written_to_is_read(path, monkeypatch):
    with Store.open(str(path)) as store:
        trained(store, a_cell())
    access = os.access
    monkeypatch.setattr(connect.os, "access", lambda p, mode: mode != os.W_OK and access(p, mode))
    with Store.read_only(str(path)) as reader:
        assert len(reader.results()) == 1
        assert sorted(p.name for p in path.parent.glob("*-wal")) == []
