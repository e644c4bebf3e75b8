"""The curves of the small suite when nothing disturbs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import curves, undisturbed_run


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple]]:
    folder = undisturbed_run(tmp_path_factory)
    return folder, curves(folder)
