"""Whatever declares an entry stays free of torch, so that commands that only read suites start fast."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from asapbench.suite import catalog, grid, load, shapes
assert all(catalog.CATALOG.values())
print(sorted({"torch", "numpy", "torchvision", "sklearn"} & set(sys.modules)))
"""


def test_every_entry_is_imported_without_torch_and_numpy() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
