"""Checkpoints and weights lie beside a SQLite database, in a folder named after a PostgreSQL one, or where told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asapbench import doctor
from asapbench.doctor import diagnose
from asapbench.errors import StoreError
from asapbench.store import Store
from asapbench.worker.files import Files, files_at, files_of


@pytest.fixture(autouse=True)
def _torch_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """`diagnose` imports torch in another process, which takes seconds and says nothing about files."""
    monkeypatch.setattr(doctor, "_torch", lambda: iter(()))


def test_files_lie_beside_a_sqlite_database_wherever_one_stands(tmp_path, monkeypatch) -> None:
    with Store.open(str(tmp_path / "x.sqlite")) as store:
        monkeypatch.chdir("/")
        assert files_of(store, None).root == tmp_path / "x.sqlite.files"
        assert files_of(store, Path("tmp/mine")).root == Path("/tmp/mine").resolve()


def test_files_of_a_postgresql_database_are_named_after_it(postgresql_url, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    with Store.open(postgresql_url) as store:
        assert files_of(store, None).root == tmp_path / "results" / f"{name}.files"
        assert files_of(store, tmp_path / "shared").root == tmp_path / "shared"
        assert files_at(postgresql_url, None) == files_of(store, None)
    assert not list(tmp_path.iterdir()), "to look for files makes none"


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("x.sqlite", "x.sqlite.files"),
        ("sqlite:///x.sqlite", "x.sqlite.files"),
        ("sqlite+pysqlite:///x.sqlite", "x.sqlite.files"),
        ("postgresql://host/name?sslmode=require", "results/name.files"),
        ("postgresql+psycopg://host/name", "results/name.files"),
    ],
)
def test_files_of_a_database_that_is_not_open_are_where_a_run_puts_them(url, folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert files_at(url, None).root == tmp_path / folder
    assert files_at(url, tmp_path / "shared").root == tmp_path / "shared"


def test_the_doctor_looks_where_a_run_would_put_files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_database", lambda db: doctor.Finding("ok", "database", db))
    for url, folder in (
        ("sqlite+pysqlite:///x.sqlite", "x.sqlite.files"),
        ("postgresql://host/name", "results/name.files"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (disk,) = [finding for finding in diagnose(db=url, data=tmp_path, files=None) if finding.subject == "disk"]
        assert disk.text.endswith(f" free at {tmp_path / folder}")


def test_the_doctor_says_that_a_url_of_no_database_has_no_files(tmp_path) -> None:
    found = {finding.subject: finding for finding in diagnose(db="mysql://host/name", data=tmp_path, files=None)}
    assert found["database"].grade == "fault"
    assert found["disk"].text == "not checked: --db does not say where files go"


def test_a_folder_that_cannot_be_made_or_written_to_is_named(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"/file/inside cannot be made: Not a directory; name another with --files"):
        Files(tmp_path / "file" / "inside").make()
    with pytest.raises(StoreError, match=r"/file cannot be made: File exists; name another with --files"):
        Files(tmp_path / "file").make()
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("this user may write to every folder")
    with pytest.raises(StoreError, match="cannot be written to"):
        Files(tmp_path / "locked").make()


def test_logs_of_several_hosts_in_one_folder_are_distinguished(tmp_path, monkeypatch) -> None:
    files = Files(tmp_path)
    files.make()
    names = []
    for host in ("left", "right", "../up"):
        monkeypatch.setattr("platform.node", lambda host=host: host)
        files.log(0).touch()
        names.append(files.log(0).name)
    files.remove_logs()
    assert len(set(names)) == 3
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == sorted(names[:2])


def test_logs_of_two_containers_with_one_name_and_one_process_number_are_distinguished(tmp_path) -> None:
    code = (
        "import os, platform, sys\n"
        "os.getpid, platform.node = lambda: 7, lambda: 'container'\n"
        "from pathlib import Path\n"
        "from asapbench.worker.files import Files\n"
        "Files(Path(sys.argv[1])).log(0).touch()"
    )
    Files(tmp_path).make()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert len(list((tmp_path / "logs").iterdir())) == 2


def test_the_doctor_looks_at_the_disk_that_files_go_to(tmp_path) -> None:
    (tmp_path / "files").mkdir()
    found = diagnose(db=str(tmp_path / "x"), data=tmp_path, files=tmp_path / "files")
    assert [finding.text.split(" at ")[1] for finding in found if finding.subject == "disk"] == [f"{tmp_path}/files"]
