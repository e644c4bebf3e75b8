import os
import random
import re
import sqlite3
from contextlib import closing

import pytest
from store_examples import TERMS, a_cell, trained

from asapbench.errors import StoreError
from asapbench.store import DEFAULT_URL, Store, connect


def test_the_directory_of_the_default_database_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store.open(DEFAULT_URL) as store:
        assert store.path == tmp_path / "results" / "asapbench.sqlite"
        assert store.path.exists()
        assert (store.url, store.name) == (DEFAULT_URL, os.path.join("results", "asapbench.sqlite"))


def test_a_bare_path_names_a_database_too(path):
    with Store.open(str(path)) as store:
        assert store.path == path


def test_a_path_with_odd_characters_is_taken_as_it_stands(tmp_path):
    path = tmp_path / "50%20 ?mode=memory #é.sqlite"
    with Store.open(str(path)) as store:
        trained(store, a_cell())
    with Store.read_only(str(path)) as store:
        assert len(store.results()) == 1
    assert path.stat().st_size > 0


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"there is no directory .*absent; make it"):
        Store.open(f"sqlite:///{tmp_path}/absent/x.sqlite")
    assert not (tmp_path / "absent").exists()


def test_a_reader_of_a_missing_database_is_reported_to_run_a_suite(path):
    with pytest.raises(StoreError, match=r"no database at .*run a suite first, or name another with --db"):
        Store.read_only(f"sqlite:///{path}")
    assert not path.exists()


def test_a_reader_of_an_empty_database_is_reported_to_run_a_suite(path):
    path.touch()
    with pytest.raises(StoreError, match="holds no results yet"):
        Store.read_only(str(path))


@pytest.mark.parametrize("opening", [Store.open, Store.read_only])
def test_a_file_that_is_not_a_database_is_left_as_it_is(path, opening):
    content = b"accuracy,epoch\n" * 500
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"results\.sqlite is not a SQLite database: name another"):
        opening(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_left_as_it_is(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cell (x)")
    content = path.read_bytes()
    with pytest.raises(StoreError, match="a database of another program"):
        Store.open(str(path))
    assert path.read_bytes() == content


def test_a_damaged_database_is_named_with_the_fix(path):
    with Store.open(str(path)) as store:
        for seed in range(20):
            trained(store, a_cell(seed))
    content = bytearray(path.read_bytes())
    page = 4096
    content[2 * page :] = random.Random(0).randbytes(len(content) - 2 * page)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"results\.sqlite is damaged: restore it"), Store.open(str(path)) as store:
        store.results()


def test_a_directory_is_not_a_database(tmp_path):
    for opening in (Store.open, Store.read_only):
        with pytest.raises(StoreError, match="is a directory: name a file"):
            opening(str(tmp_path))


def test_a_read_only_file_is_refused_by_a_writer_and_read_by_a_reader(path):
    with Store.open(str(path)) as store:
        trained(store, a_cell())
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        if os.access(path, os.W_OK):
            pytest.skip("this user may write to every file")
        with pytest.raises(StoreError, match="is read-only: make it writable"):
            Store.open(str(path))
        with Store.read_only(str(path)) as store:
            assert len(store.results()) == 1
    finally:
        path.parent.chmod(0o700)


def test_a_locked_database_is_named_once_the_wait_is_over(path, monkeypatch):
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.05)
    with Store.open(str(path)) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        trained(store, a_cell())
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"results\.sqlite is locked by another process"):
            store.claim(a_cell(1), **TERMS)
        other.execute("ROLLBACK")
        assert store.claim(a_cell(1), **TERMS)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name", "http://x", "://"])
def test_a_url_that_names_no_usable_database_is_refused(url):
    with pytest.raises(StoreError, match="sqlite:///"):
        Store.open(url)


def test_every_connection_has_the_pragmas_that_keep_results_safe(path):
    with Store.open(str(path)) as store, store._database.reading() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        ]
    assert values == ["wal", 1, 2, 30_000]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:///x.sqlite?mode=ro", "has parameters, which asapbench does not use: leave out what follows"),
        ("sqlite:///x.sqlite?", "has parameters"),
        ("sqlite:///x.sqlite?timeout", "has parameters"),
        ("sqlite://host/x.sqlite", "names a host, which SQLite has none of: write sqlite:///PATH"),
        ("sqlite://me:S3CRET@/x.sqlite", "names a host"),
        ("sqlite+pysqlcipher:///x.sqlite", "names a driver that asapbench does not use: use sqlite:///PATH"),
        ("sqlite:x.sqlite", "is not the URL of a database: use sqlite:///PATH"),
        ("file:x.sqlite?mode=ro", "or a path alone"),
    ],
)
@pytest.mark.parametrize("opening", [Store.open, Store.read_only])
def test_what_a_url_of_sqlite_says_in_vain_is_refused(url, says, opening, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=re.escape(says)) as raised:
        opening(url)
    assert "S3CRET" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_question_mark_in_the_name_of_a_file_is_written_as_in_every_url(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/a%3Fb.sqlite") as store:
        assert store.path == tmp_path / "a?b.sqlite"
