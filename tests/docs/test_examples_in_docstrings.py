"""Every example in a docstring of the package prints what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import asapbench

ROOT = Path(asapbench.__file__).parent
LIBRARY = ROOT / "api.py"
WITH_EXAMPLES = [path for path in sorted(ROOT.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


def check_examples(path: Path) -> None:
    name = ".".join(("asapbench", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(
    "path", [path for path in WITH_EXAMPLES if path != LIBRARY], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_the_examples_of_a_module_hold(path: Path) -> None:
    check_examples(path)


def test_the_examples_of_the_library_hold(kept_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept_weights)
    check_examples(LIBRARY)
