"""`asapbench.__all__` is the library: documented, typed, and imported only when it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import asapbench


@pytest.mark.parametrize("name", [name for name in asapbench.__all__ if name != "__version__"])
def test_a_public_name_is_documented_and_a_function_has_an_example(name: str) -> None:
    found = getattr(asapbench, name)
    assert inspect.getdoc(found)
    assert inspect.isclass(found) or ">>> " in found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'atach'"):
        _ = asapbench.atach


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, asapbench; asapbench.load_suite, asapbench.load_results; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(asapbench.__file__).with_name("py.typed").exists()
