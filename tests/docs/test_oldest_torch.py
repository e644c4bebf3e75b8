"""The oldest torch that is promised is the one that CI tests with: pyproject.toml alone says which it is."""

from __future__ import annotations

import importlib.util
import re
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
    step = re.search(
        r"^\.venv/bin/python \.ci/oldest_torch\.py\n.*\.venv-oldest/bin/python -m pytest((?:.*\\\n)+.*)", CI, re.M
    )
    assert step is not None
    paths = [word for word in step[1].split() if word.startswith("tests/")]
    conformance = ["tests/conformance/test_oracle.py", "tests/conformance/test_local_rules.py"]
    assert paths == ["tests/rules", *conformance, "tests/models", "tests/training", "tests/test_randomness.py"]
    assert all((ROOT / path).exists() for path in paths)


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
    needed = 'setuptools<82\ntriton==3.6.0\nnvidia-cudnn-cu13==9.19.0.56\noptree; extra == "optree"'
    monkeypatch.setattr(oldest_torch, "inside", lambda code: needed if "requires" in code else str(new))
    monkeypatch.setattr(oldest_torch, "pip", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(oldest_torch.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(oldest_torch, "python", lambda: "python3.12")
    monkeypatch.setattr(oldest_torch, "VENV", tmp_path / "venv")
    monkeypatch.setattr(oldest_torch.sysconfig, "get_path", lambda _: str(main))
    oldest_torch.main()
    torch, packages = asked
    assert torch == (("--no-deps",) if cuda else ()) + tuple(oldest_torch.oldest())
    assert (new / "nvidia").is_dir() is cuda
    own = [one for one in packages if one.startswith(("setuptools", "triton"))]
    assert own == (["setuptools<82", "triton==3.6.0"] if cuda else [])
    assert not [one for one in packages if one.startswith(("torch", "nvidia", "cuda", "optree", "asapbench"))]
    assert [one for one in packages if one.startswith("numpy==")]
