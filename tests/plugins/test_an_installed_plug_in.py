"""The example distribution, installed into an environment of its own: its suite trains and its table is printed."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that sees the packages of this one, with the example installed."""
    for needed in ("setuptools", "pip"):  # not by find_spec: looking for pip takes setuptools' distutils away
        if not any(importlib.metadata.distributions(name=needed)):
            pytest.skip(f"{needed} is not installed, which builds the example")
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", system_site_packages=True, with_pip=False)
    own = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # An environment made inside another one sees the packages of the interpreter alone, not those of the other one.
    where = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([own, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    (Path(packages) / "outer.pth").write_text("\n".join(dict.fromkeys(where)) + "\n")
    source = shutil.copytree(EXAMPLE, folder / "plugin")  # a build leaves folders beside its sources
    install = ["install", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", source]
    subprocess.run([sys.executable, "-m", "pip", "--python", own, *install], check=True, capture_output=True)
    return own


def asapbench(python: Path, folder: Path, *arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ASAPBENCH", "PYTHONPATH"))}
    done = subprocess.run(
        [python, "-m", "asapbench", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_its_suite_trains_and_its_table_is_printed(python: Path, tmp_path: Path) -> None:
    suite = str(EXAMPLE / "stripes.toml")
    assert "Ended: 6 done" in asapbench(python, tmp_path, "run", suite, "--set", "epochs=1")
    table = asapbench(python, tmp_path, "report", "--suite", suite)
    assert all(word in table for word in ("Stripes", "Stack", "Conv-FA"))
    listed = asapbench(python, tmp_path, "catalog")
    assert all(f"  {name} " in listed for name in ("stripes", "stack", "conv_fa"))


@pytest.mark.slow
def test_the_catalog_of_the_example_imports_no_torch(python: Path, tmp_path: Path) -> None:
    code = (
        "import sys, asapbench; asapbench.load_suite('quickstart'); "
        "from asapbench.suite.catalog import RULES; print('conv_fa' in RULES, 'torch' in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_the_example_is_short() -> None:
    for name in ("conv_fa", "stack"):
        assert len((EXAMPLE / "asapbench_example" / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 40
