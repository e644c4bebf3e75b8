"""A small database whose page the tests read."""

from __future__ import annotations

import pytest
from page_results import of_rules, with_results, with_sweep

from asapbench.suite.cell import Cell


@pytest.fixture(scope="session")
def cells() -> list[Cell]:
    return of_rules("bp", "asap", "fa", "kp")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cells: list[Cell]) -> str:
    """The URL of a database with results."""
    return with_results(f"sqlite:///{tmp_path_factory.mktemp('page')}/page.sqlite", cells)


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with a sweep that has validation data."""
    return with_sweep(f"sqlite:///{tmp_path_factory.mktemp('swept')}/swept.sqlite")
