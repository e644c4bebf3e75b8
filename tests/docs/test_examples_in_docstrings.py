"""Every example in a docstring of the package gives what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import asapbench

ROOT = Path(asapbench.__file__).parent
WITH_EXAMPLES = [path for path in sorted(ROOT.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_of_a_module_hold(path: Path) -> None:
    found = doctest.testmod(import_module(".".join(("asapbench", *path.relative_to(ROOT).with_suffix("").parts))))
    assert found.attempted > 0
    assert found.failed == 0
