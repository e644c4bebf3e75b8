"""Checkpoints and weights lie beside a SQLite database, in a folder named after a PostgreSQL one, or where told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asapbench.errors import StoreError
from asapbench.scheduling.diagnosis import diagnose
from asapbench.scheduling.files import Files, files_of
from asapbench.store import Store


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
    assert not list(tmp_path.iterdir()), "to look for files makes none"


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


def test_logs_of_several_hosts_in_one_folder_are_told_apart(tmp_path, monkeypatch) -> None:
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


def test_logs_of_two_containers_with_one_name_and_one_process_number_are_told_apart(tmp_path) -> None:
    code = (
        "import os, platform, sys\n"
        "os.getpid, platform.node = lambda: 7, lambda: 'container'\n"
        "from pathlib import Path\n"
        "from asapbench.scheduling.files import Files\n"
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
