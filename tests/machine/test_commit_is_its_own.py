"""The commit that is recorded is that of asapbench's own code: of no other repository, whatever stands around it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from asapbench.machine import hardware

NOT_A_REPOSITORY = (None, None)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false", *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def repository(folder: Path, *tracked: str) -> str:
    """Makes `folder` a repository that holds these files; its commit."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    git(folder, "add", "--", *tracked)
    git(folder, "commit", "-q", "--allow-empty", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of asapbench's code in a folder of its own, which is where `commit` then looks."""
    folder = tmp_path / "around" / "root"
    module = folder / "asapbench" / "machine" / "hardware.py"
    module.parent.mkdir(parents=True)
    shutil.copy(hardware.__file__, module)
    monkeypatch.setattr(hardware, "__file__", str(module))
    return folder


def test_a_checkout_has_its_commit_and_says_whether_it_was_changed(code: Path) -> None:
    head = repository(code, "asapbench")
    assert hardware.commit() == (head, False)
    (code / "asapbench" / "machine" / "hardware.py").write_text("changed")
    assert hardware.commit() == (head, True)


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"])
def test_variables_about_another_repository_are_ignored(
    variable: str, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, other = repository(code, "asapbench"), tmp_path / "other"
    repository(other)
    places = {"GIT_WORK_TREE": other, "GIT_INDEX_FILE": other / ".git" / "index"}
    monkeypatch.setenv(variable, str(places.get(variable, other / ".git")))
    assert hardware.commit() == (head, False)


def test_a_package_that_is_installed_in_another_repository_has_no_commit(code: Path) -> None:
    repository(code.parent)  # as a virtual environment inside another repository
    assert hardware.commit() == NOT_A_REPOSITORY
    repository(code)  # as with pip install --target . in the root of one
    assert hardware.commit() == NOT_A_REPOSITORY


def test_a_repository_that_git_cannot_read_does_not_stand_for_the_one_around_it(code: Path) -> None:
    repository(code.parent)
    (code / ".git").mkdir()
    assert hardware.commit() == NOT_A_REPOSITORY
