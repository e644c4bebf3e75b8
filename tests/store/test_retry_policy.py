"""A patient store tries again what a locked database or a full disk has refused; any other fails at once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from store_examples import TERMS, a_cell

from asapbench.errors import UnavailableError
from asapbench.store import Store, connect


@pytest.fixture
def locked(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A database, and the connection that holds its lock."""
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.05)
    with (
        Store.open(str(path)) as store,
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
    ):
        other.execute("BEGIN EXCLUSIVE")
        yield store, other


def test_it_continues_as_soon_as_the_lock_is_gone(locked) -> None:
    store, other = locked
    said: list[str] = []

    def report(message: str) -> None:
        said.append(message)
        threading.Timer(0.5, other.execute, ["ROLLBACK"]).start()

    store.enable_retries(report)
    assert store.claim(a_cell(), **TERMS)
    (message,) = said
    assert "is locked by another process" in message


def test_it_gives_up_in_the_end_and_then_at_once(locked) -> None:
    store, _ = locked
    said: list[str] = []
    store.enable_retries(said.append)
    store._database.retry_policy.seconds = 0.1
    for _ in range(2):
        with pytest.raises(UnavailableError, match="is locked by another process"):
            store.claim(a_cell(), **TERMS)
    assert len(said) == 1


def test_it_fails_at_once_when_told_to_give_up(locked) -> None:
    store, _ = locked
    store.enable_retries(print)
    store.give_up()
    with pytest.raises(UnavailableError):
        store.claim(a_cell(), **TERMS)


def test_a_full_disk_is_reported_from_other_faults_and_nothing_of_the_refused_write_stays(path: Path) -> None:
    with Store.open(str(path)) as store:
        with store._database.outside_transactions() as raw:
            raw.execute(f"PRAGMA max_page_count = {raw.execute('PRAGMA page_count').fetchone()[0]}")
        cells = [a_cell(seed) for seed in range(500)]
        with pytest.raises(UnavailableError, match="the disk is full"):
            store.record_suite("s", "here", cells)
        assert store.suites() == []
