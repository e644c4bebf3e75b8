"""A writer leaves a file that is whole without its log, also while other processes read."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing

from store_examples import TERMS, a_cell, an_epoch

from asapbench.store import Store, connect


def write(url: str) -> None:
    with Store.open(url) as store:
        cell = a_cell()
        store.record_suite("s", "s.toml", [cell])
        store.record_epochs(store.claim(cell, **TERMS), [an_epoch(1)])


def test_a_copy_of_the_file_has_all_results_though_a_reader_was_connected(path) -> None:
    url = f"sqlite:///{path}"
    Store.open(url).close()
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("SELECT count(*) FROM epoch_metrics").fetchall() == [(0,)]
        write(url)
        copy = shutil.copy(path, path.with_name("copy.sqlite"))
        with closing(sqlite3.connect(copy)) as copied:
            assert copied.execute("SELECT count(*) FROM epoch_metrics").fetchall() == [(1,)]
        assert path.with_name(f"{path.name}-wal").stat().st_size == 0


def test_a_reader_in_the_middle_of_a_transaction_delays_the_end_of_a_writer_by_little(path, monkeypatch) -> None:
    monkeypatch.setattr(connect, "_LOG_SECONDS", 0.2)
    url = f"sqlite:///{path}"
    Store.open(url).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM epoch_metrics").fetchall()
        start = time.monotonic()
        write(url)
        assert time.monotonic() - start < 0.9 * connect.BUSY_SECONDS
        assert reader.execute("SELECT count(*) FROM epoch_metrics").fetchall() == [(0,)]
    with Store.read_only(url) as store:
        assert len(store.attempts(a_cell().id)) == 1
