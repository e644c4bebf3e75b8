"""The oldest torch that is promised is the one that CI tests with: pyproject.toml alone says which it is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from types import ModuleType

import pytest
from documentation import README, ROOT

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8") if (ROOT / ".ci").exists() else ""
pytestmark = pytest.mark.skipif(not CI, reason="only a checkout has .ci")


@pytest.fixture
def oldest_torch() -> ModuleType:
    """CI's script that makes the second environment."""
    spec = importlib.util.spec_from_file_location("oldest_torch", ROOT / ".ci" / "oldest_torch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ci_installs_the_lower_bounds_of_torch_and_torchvision(oldest_torch: ModuleType) -> None:
    bounds = dict(one.split(">=") for one in DEPENDENCIES)
    assert oldest_torch.oldest() == [f"torch=={bounds['torch']}", f"torchvision=={bounds['torchvision']}"]


def test_ci_runs_the_tests_of_what_depends_on_torch_there() -> None:
    commands = re.findall(r"\.venv-oldest/bin/python -m pytest((?:.*\\\n)+.*)", CI)
    assert len(commands) == 2, "the fast tests, then a compiled rule"
    words = " ".join(word for word in commands[0].split() if word.startswith("tests/"))
    paths = subprocess.run(["bash", "-c", f"echo {words}"], capture_output=True, text=True, check=True).stdout.split()
    assert [path for path in paths if not (ROOT / path).exists()] == []
    gradients = {"tests/conformance/test_oracle.py", "tests/rules/test_attached_to_other_peoples_networks.py"}
    training = {"tests/training/test_resume_is_bit_exact.py", "tests/training/test_frozen_checkpoints.py"}
    assert set(paths) >= gradients | training | {"tests/test_randomness.py"}
    assert "tests/training/test_compiled_training.py" in commands[1]


def test_readme_says_the_oldest_versions() -> None:
    bounds = dict(one.split(">=") for one in DEPENDENCIES)
    said = f"torch {bounds['torch']} and torchvision {bounds['torchvision']}, or newer"
    assert said in " ".join(README.read_text(encoding="utf-8").split())


def test_a_shim_that_fails_is_no_python(oldest_torch: ModuleType, tmp_path, monkeypatch) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert oldest_torch.python() == oldest_torch.sys.executable
    works = tmp_path / "versions" / "3.12.9" / "bin" / "python3.12"
    works.parent.mkdir(parents=True)
    works.write_text("#!/bin/sh\n", encoding="utf-8")
    works.chmod(0o755)
    assert oldest_torch.python() == str(works)


@pytest.mark.parametrize("cuda", [True, False])
def test_nvidias_libraries_are_shared_where_there_are_any_and_else_left_to_pip(
    oldest_torch: ModuleType, cuda: bool, tmp_path, monkeypatch
) -> None:
    main, new, asked = tmp_path / "main", tmp_path / "new", []
    new.mkdir()
    if cuda:
        (main / "nvidia").mkdir(parents=True)
    own = 'setuptools<82\ntriton==3.6.0\nnvidia-cudnn-cu13==9.19.0.56\noptree; extra == "optree"'
    monkeypatch.setattr(oldest_torch, "inside", lambda code: own if "requires" in code else str(new))
    monkeypatch.setattr(oldest_torch, "pip", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(oldest_torch.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(oldest_torch, "python", lambda: "python3.12")
    monkeypatch.setattr(oldest_torch, "VENV", tmp_path / "venv")
    monkeypatch.setattr(oldest_torch.sysconfig, "get_path", lambda _: str(main))
    oldest_torch.main()
    torch, packages = asked
    assert torch == (("--no-deps",) if cuda else ()) + tuple(oldest_torch.oldest())
    assert (new / "nvidia").is_dir() is cuda
    of_torch = [one for one in packages if one.startswith(("setuptools", "triton"))]
    assert of_torch == (["setuptools<82", "triton==3.6.0"] if cuda else [])
    assert not [one for one in packages if one.startswith(("torch", "nvidia", "cuda", "optree", "asapbench"))]
    # Of the project, of one of its packages, of torch, and of the tests; none that only other tests need.
    assert {one.partition("==")[0] for one in packages} >= {"numpy", "Mako", "mpmath", "pytest-xdist", "hypothesis"}
    assert not [one for one in packages if one.startswith(("ray", "mypy", "ruff"))]
