"""Reading a SQLite database makes, changes and leaves no file, and finds what is in a log alone, also where it may not
write.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from small_runs import without_privileges
from store_examples import a_cell, trained

from asapbench.errors import UnavailableError
from asapbench.store import Store
from asapbench.store.untrusted_import import opened

ENDINGS = {"clean": ("",), "log": ("", "-wal"), "log and index": ("", "-wal", "-shm")}
"""What a run leaves: nothing but the file, or after a crash its log too, which a copy may have lost the index of."""


@pytest.fixture(params=ENDINGS)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database of one cell; where it has a log, the device's name stands there alone."""
    busy, folder = tmp_path / "busy.sqlite", tmp_path / "left"
    folder.mkdir()
    with Store.open(str(busy)) as store:
        trained(store, a_cell())
    with closing(sqlite3.connect(busy)) as writer:
        with writer:
            writer.execute("UPDATE attempt SET device = 'in the log'")
        if request.param == "clean":
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for ending in ENDINGS[request.param]:
            shutil.copy(f"{busy}{ending}", folder / f"x.sqlite{ending}")
    return folder / "x.sqlite"


@pytest.fixture(params=["the file", "a link to it"])
def named(request: pytest.FixtureRequest, left: Path, tmp_path: Path) -> Path:
    """What a user names: the database, or a link in another folder. SQLite has the log beside the database."""
    if request.param == "the file":
        return left
    link = tmp_path / "links" / "y.sqlite"
    link.parent.mkdir()
    link.symlink_to(left)
    return link


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the index of the log, which readers of a log share and SQLite makes from it."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def names(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def devices(path: Path) -> list[str]:
    with Store.read_only(str(path)) as store:
        return [result.attempt.device for result in store.results()]


def test_a_reader_finds_every_row_and_leaves_the_folder_as_it_was(named: Path, tmp_path: Path) -> None:
    before, there = content(tmp_path), names(tmp_path)
    assert devices(named) == ["in the log"]
    assert content(tmp_path) == before
    assert names(tmp_path) == there


def test_a_file_that_is_merged_is_left_as_it_was(named: Path, tmp_path: Path) -> None:
    before, there = content(tmp_path), names(tmp_path)
    with opened([named]) as (copy,), copy.reading() as rows:
        assert rows.exec_driver_sql("SELECT device FROM attempt").scalar() == "in the log"
    assert content(tmp_path) == before
    assert names(tmp_path) == there


@pytest.mark.parametrize("folder", ["of the file", "of the name"])
def test_a_folder_that_may_not_be_written_to_is_read_too(named: Path, left: Path, tmp_path: Path, folder: str) -> None:
    locked = left.parent if folder == "of the file" else named.parent
    for path in locked.iterdir():
        if not path.is_symlink():
            path.chmod(0o444)
    locked.chmod(0o555)
    before = content(tmp_path)
    code = (
        "import sys; from asapbench.store import Store\n"
        "with Store.read_only(sys.argv[1]) as store: print([r.attempt.device for r in store.results()])"
    )
    try:
        said = subprocess.run(
            [*without_privileges(), sys.executable, "-c", code, str(named)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        locked.chmod(0o755)
    assert (said.stdout, said.stderr) == ("['in the log']\n", "")
    assert content(tmp_path) == before


def test_processes_that_name_one_database_by_different_links_share_its_lock(tmp_path: Path) -> None:
    link = tmp_path / "links" / "y.sqlite"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "x.sqlite")
    Store.open(str(link)).close()
    assert sorted(path.name for path in names(tmp_path)) == ["links", "x.sqlite", "x.sqlite.lock", "y.sqlite"]


def test_a_reader_beside_a_writer_sees_what_it_commits_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with Store.open(str(path)) as writer:
        with Store.read_only(str(path)) as reader:
            trained(writer, a_cell())
            assert len(reader.results()) == 1
        assert devices(path) == ["cpu"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x.sqlite", "x.sqlite.lock"]


def test_what_cannot_be_followed_is_refused_when_it_changes_under_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.sqlite"
    with Store.open(str(path)) as store:
        trained(store, a_cell())
    monkeypatch.setattr(os, "access", lambda *_: False)  # a folder of another user, who may start a run at any time
    with Store.read_only(str(path)) as reader:
        assert len(reader.results()) == 1
        with closing(sqlite3.connect(path)) as writer, writer:
            writer.execute("UPDATE attempt SET device = 'changed'")
        with pytest.raises(UnavailableError, match=r"x\.sqlite was written to while it was read: try again"):
            reader.results()


def test_a_half_done_transaction_of_an_older_kind_is_undone_in_a_copy(tmp_path: Path) -> None:
    source, path = tmp_path / "export.sqlite", tmp_path / "left" / "x.sqlite"
    path.parent.mkdir()
    with Store.open(str(tmp_path / "whole.sqlite")) as store:
        trained(store, a_cell())
        store.export(source)  # has no write-ahead log
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.execute("CREATE TABLE filler AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n "
                       "LIMIT 20000) SELECT x, randomblob(50) AS y FROM n")  # fmt: skip
        for ending in ("", "-journal"):
            shutil.copy(f"{source}{ending}", f"{path}{ending}")
        writer.execute("ROLLBACK")
    before = content(path.parent)
    assert devices(path) == ["cpu"]
    assert content(path.parent) == before
