"""A damaged database is refused before anything is written to it, and moved aside on request: nothing is deleted."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_examples import a_cell, trained

from asapbench.errors import StoreError
from asapbench.store import Store
from asapbench.store.quarantine import quarantine

PAGE = 4096


@pytest.fixture
def damaged(path: Path) -> Path:
    """A database whose pages but the first two are noise: what opening it looks at is still whole."""
    with Store.open(str(path)) as store:
        for seed in range(20):
            trained(store, a_cell(seed))
    content = bytearray(path.read_bytes())
    content[2 * PAGE :] = random.Random(0).randbytes(len(content) - 2 * PAGE)
    path.write_bytes(content)
    return path


def test_a_damaged_database_is_not_opened_for_writing(damaged: Path) -> None:
    content = damaged.read_bytes()
    with pytest.raises(StoreError, match=r"results\.sqlite is damaged: .*asapbench doctor --quarantine"):
        Store.open(str(damaged))
    assert damaged.read_bytes() == content


def test_quarantine_renames_it_with_its_log_and_a_new_one_can_be_made(damaged: Path) -> None:
    content = damaged.read_bytes()
    log = damaged.with_name(damaged.name + "-wal")
    log.write_bytes(b"a log")
    moved = quarantine(str(damaged))
    assert moved == damaged.with_name("results.sqlite.damaged-1")
    assert moved.read_bytes() == content
    assert moved.with_name(moved.name + "-wal").read_bytes() == b"a log"
    assert not damaged.exists()
    with Store.open(str(damaged)) as store:
        trained(store, a_cell())
    damaged.write_bytes(content)
    assert quarantine(str(damaged)).name == "results.sqlite.damaged-2"
    assert moved.read_bytes() == content


def test_a_link_stays_and_what_it_names_is_renamed_with_its_log(damaged: Path, tmp_path: Path) -> None:
    link = tmp_path / "links" / "y.sqlite"
    link.parent.mkdir()
    link.symlink_to(damaged)
    damaged.with_name(damaged.name + "-wal").write_bytes(b"a log")
    moved = quarantine(str(link))
    assert moved == damaged.with_name("results.sqlite.damaged-1")
    assert moved.with_name(moved.name + "-wal").read_bytes() == b"a log"
    assert [path.is_symlink() for path in link.parent.iterdir()] == [True]
    Store.open(str(link)).close()
    assert damaged.is_file()


def test_a_file_that_lost_its_header_is_quarantined_too(path: Path) -> None:
    path.write_bytes(bytes(3 * PAGE))
    assert quarantine(str(path)).read_bytes() == bytes(3 * PAGE)


def test_a_whole_database_is_not_quarantined(path: Path) -> None:
    with Store.open(str(path)) as store:
        trained(store, a_cell())
    with pytest.raises(StoreError, match="is whole: there is nothing to quarantine"):
        quarantine(str(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM attempt").fetchone() == (1,)


def test_there_is_nothing_to_quarantine_where_there_is_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no file to quarantine"):
        quarantine(str(path))
