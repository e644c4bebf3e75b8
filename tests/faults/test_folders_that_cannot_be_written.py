"""A folder that cannot be written to is one error with the place and a way out, before anything is trained."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_runs import environment, without_privileges

from asapbench.errors import AsapbenchError
from asapbench.running.selection import Request, select

pytestmark = pytest.mark.faults

ONE_CELL = ("--only", "model=resnet10", "--only", "rule=bp", "--seeds", "0")
RUN = ("run", "quickstart", *ONE_CELL, "--db", "x.sqlite")
Started = Callable[..., subprocess.CompletedProcess[str]]
Refused = Callable[..., str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's own, which only its user may enter."""
    made = Path(tempfile.mkdtemp(prefix="asapbench-test-"))
    made.chmod(0o777)
    yield made
    for path in made.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(made)


@pytest.fixture
def started(folder: Path) -> Started:
    """`asapbench ARGUMENTS` in `folder`, as a user whom rights bind."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*without_privileges(), sys.executable, "-m", "asapbench", *arguments],
            cwd=folder, env=environment() | {"HOME": str(folder)} | variables, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def refused(started: Started) -> Refused:
    """The error of `asapbench ARGUMENTS`, as a user whom rights bind."""

    def run(*arguments: str, **variables: str) -> str:
        done = started(*arguments, **variables)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    return run


def locked(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    made.chmod(0o555)
    return made


@pytest.mark.parametrize("name", ["", "logs", "checkpoints", "weights"])
def test_a_folder_of_the_runs_files(folder: Path, refused: Refused, name: str) -> None:
    place = locked(folder, f"x.sqlite.files/{name}")
    said = refused(*RUN, "--keep-weights")
    assert f"{place} cannot be written to: change its rights, or name another with --files" in said


def test_files_that_nobody_may_even_look_at(folder: Path, refused: Refused) -> None:
    place = locked(folder, "x.sqlite.files")
    place.chmod(0o000)
    assert f"{place} cannot be written to" in refused(*RUN)


@pytest.mark.parametrize("attempt", ["", "0" * 32])
def test_what_an_earlier_attempt_left(folder: Path, refused: Refused, attempt: str) -> None:
    (selected,) = select(["quickstart"], Request(db="", filters=("model=resnet10", "rule=bp"), seeds="0"))
    (cell,) = selected.cells
    place = locked(folder, f"x.sqlite.files/checkpoints/{cell.id[:20]}/{attempt}")
    assert f"{place} cannot be written to" in refused(*RUN)


@pytest.mark.parametrize("name", ["logs", "checkpoints", "weights"])
def test_a_file_in_place_of_a_folder(tmp_path: Path, name: str) -> None:
    files = tmp_path / "x.sqlite.files"
    files.mkdir()
    (files / name).touch()
    done = subprocess.run(
        [sys.executable, "-m", "asapbench", *RUN, "--keep-weights"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2, f"error: {files / name} cannot be made: File exists; name another with --files\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "way_out"),
    [
        (("run", "quickstart", *ONE_CELL, "--db", "locked/x.sqlite"), "in a directory that you may use"),
        (("bench", "quickstart", "--out", "locked/t.md"), "change its rights, or name another"),
        (("analyze", "memory", "--out", "locked/t.md"), "change its rights, or name another"),
        (("analyze", "memory", "--out", "locked/t.svg"), "change its rights, or name another"),
        (("analyze", "theorem", "--out", "locked/t.md"), "change its rights, or name another"),
        (("data", "prepare", "mnist", "--data", "locked"), "name another folder with --data"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_folder_that_is_named(folder: Path, refused: Refused, command: tuple[str, ...], way_out: str) -> None:
    locked(folder, "locked")
    said = refused(*command)
    assert "locked" in said
    assert way_out in said


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("status", "--db", "closed/x.sqlite"), "closed/x.sqlite: this user may not enter its folder"),
        (("doctor", "--quarantine", "--db", "closed/x.sqlite"), "closed/x.sqlite: there is no file"),
        (("merge", "closed/x.sqlite", "--db", "x.sqlite"), "or this user may not enter its folder"),
        (("export", "closed/x.csv", "--db", "x.sqlite"), "closed cannot be written to"),
        (("export", "closed/x.sqlite", "--db", "x.sqlite"), "closed cannot be written to"),
        (("export", "closed/in/x.csv", "--db", "x.sqlite"), "there is no directory closed/in"),
        (("export", "closed/in/x.sqlite", "--db", "x.sqlite"), "there is no directory closed/in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_folder_that_nobody_may_enter(folder: Path, refused: Refused, command: tuple[str, ...], problem: str) -> None:
    from asapbench.store import Store

    Store.open(str(folder / "x.sqlite")).close()
    locked(folder, "closed").chmod(0o000)
    assert problem in refused(*command)


@pytest.mark.parametrize("arguments", [("--files", "closed/x"), ("--db", "closed/x.sqlite")], ids=" ".join)
def test_the_doctor_looks_into_a_folder_that_nobody_may_enter(
    folder: Path, started: Started, arguments: tuple[str, str]
) -> None:
    locked(folder, "closed").chmod(0o000)
    done = started("doctor", *arguments)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{folder}/closed is not writable" in done.stdout


def test_files_that_may_be_listed_but_not_looked_at_have_no_size(folder: Path) -> None:
    (folder / "listed").mkdir()
    (folder / "listed" / "x").touch()
    (folder / "listed").chmod(0o444)
    code = "from pathlib import Path; from asapbench.worker.files import size; print(size(Path('listed')))"
    done = subprocess.run(
        [*without_privileges(), sys.executable, "-c", code],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_folder_for_an_export(folder: Path, refused: Refused) -> None:
    from asapbench.store import Store

    Store.open(str(folder / "x.sqlite")).close()
    locked(folder, "locked")
    for name in ("o.sqlite", "o.csv"):
        said = refused("export", f"locked/{name}", "--db", "x.sqlite")
        assert said.startswith(f"error: locked/{name}: the directory ")
        assert "change its rights, or name another" in said


def test_the_compilers_cache(folder: Path, refused: Refused) -> None:
    place = locked(folder, "locked")
    said = refused(*RUN, "--compile", TORCHINDUCTOR_CACHE_DIR=str(place / "cache"))
    assert f"TORCHINDUCTOR_CACHE_DIR={place / 'cache'} cannot be written to (Permission denied)" in said


def test_no_place_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from asapbench.store.untrusted_import import opened

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(AsapbenchError, match=r"no temporary folder can be made .* name one in TMPDIR"), opened([]):
        pass


def test_no_place_for_the_copy_of_a_database_with_a_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from asapbench.doctor import diagnose
    from asapbench.store import Store

    path = tmp_path / "x.sqlite"
    Store.open(str(path)).close()
    (tmp_path / "x.sqlite-wal").write_bytes(b"a log")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(AsapbenchError, match=r"no temporary folder can be made .* name one in TMPDIR"):
        Store.read_only(str(path))
    found = {finding.subject: finding for finding in diagnose(db=str(path), data=tmp_path, files=None)}
    assert found["database"].grade == "fault"
    assert found["database"].text.startswith("no temporary folder can be made")


def test_the_doctor_names_it(folder: Path) -> None:
    from asapbench.doctor import diagnose

    (folder / "x.sqlite.files").mkdir()
    (folder / "x.sqlite.files" / "logs").touch()
    found = {finding.subject: finding for finding in diagnose(db=str(folder / "x.sqlite"), data=folder, files=None)}
    assert (found["disk"].grade, found["disk"].text) == ("fault", f"{folder}/x.sqlite.files/logs is not writable")
