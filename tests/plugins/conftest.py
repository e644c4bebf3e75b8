"""What a test of plug-ins loads into this process is forgotten when it ends: other tests read the same catalog."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asapbench.suite import catalog, plugins


@pytest.fixture(autouse=True)
def nothing_stays_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The catalog, the plug-ins and the modules of `tmp_path` as they were before."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    kept = [*catalog.CATALOG.values(), catalog._CLASSES, plugins._loaded, plugins._provided]
    before = [dict(table) for table in kept]
    yield
    for table, content in zip(kept, before, strict=True):
        table.clear()
        table.update(content)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
