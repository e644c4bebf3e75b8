"""A folder that cannot be written to is one error with the place and a way out, before anything is trained."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import environment

from asapbench.errors import AsapbenchError
from asapbench.scheduling.launch import Request, select

ONE_CELL = ("--only", "model=resnet10", "--only", "rule=bp", "--seeds", "0")
RUN = ("run", "quickstart", *ONE_CELL, "--db", "x.sqlite")
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
def refused(folder: Path) -> Refused:
    """The error of `asapbench ARGUMENTS` in `folder`, as a user whom rights bind."""
    user: list[str] = []
    if os.geteuid() == 0:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        able = (
            shutil.which("setpriv")
            and not subprocess.run(
                [*user, sys.executable, "-c", "import asapbench.cli"], cwd=folder, capture_output=True, check=False
            ).returncode
        )
        if not able:
            pytest.skip("root may write everywhere, and an ordinary user cannot run this Python")

    def run(*arguments: str, **variables: str) -> str:
        done = subprocess.run(
            [*user, sys.executable, "-m", "asapbench", *arguments],
            cwd=folder, env=environment() | {"HOME": str(folder)} | variables, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    return run


def locked(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    for path in (made, *made.parents):
        if path == folder:
            break
        path.chmod(0o755)
    if os.geteuid() == 0:
        for path in (made, *made.parents):
            if path == folder:
                break
            os.chown(path, 65534, 65534)
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
    (suite,) = select(["quickstart"], Request(db="", filters=("model=resnet10", "rule=bp"), seeds="0"))
    (cell,) = suite.cells
    place = locked(folder, f"x.sqlite.files/checkpoints/{cell.id[:20]}/{attempt}")
    assert f"{place} cannot be written to" in refused(*RUN)


@pytest.mark.parametrize("name", ["logs", "checkpoints", "weights"])
def test_a_file_in_place_of_a_folder(tmp_path: Path, name: str) -> None:
    files = tmp_path / "x.sqlite.files"
    files.mkdir()
    (files / name).touch()
    done = subprocess.run(
        [sys.executable, "-m", "asapbench", *RUN, "--keep-weights"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False,
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
    from asapbench.store.foreign import opened

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(AsapbenchError, match=r"no temporary folder can be made .* name one in TMPDIR"), opened([]):
        pass


def test_the_doctor_names_it(folder: Path) -> None:
    from asapbench.scheduling.diagnosis import diagnose

    (folder / "x.sqlite.files").mkdir()
    (folder / "x.sqlite.files" / "logs").touch()
    found = {finding.subject: finding for finding in diagnose(db=str(folder / "x.sqlite"), data=folder, files=None)}
    assert (found["disk"].grade, found["disk"].text) == ("fault", f"{folder}/x.sqlite.files/logs is not writable")
