"""The curves of the small suite when nothing disturbs it, trained once for each test process."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import curves, run, write_suite


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_suite(folder)
    run(folder, "run", "small.toml", "--slots", "2", "--keep-weights")
    return folder, curves(folder)
