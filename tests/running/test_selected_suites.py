"""Of several suites those are taken up that have cells to be trained; a filter need not pass cells of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from asapbench.analysis.speed.bench import chosen
from asapbench.errors import SuiteError
from asapbench.running.selection import Request, recorded, select
from asapbench.store import Store
from asapbench.suite.load import load

REQUEST = Request(db="x.sqlite", filters=["model=resnet18"])
NOBODY = Request(db="x.sqlite", filters=["model=mlp"])
SUITES = ["quickstart", "block_size"]


def test_a_run_takes_the_suite_that_has_such_cells() -> None:
    (selected,) = select(SUITES, REQUEST)
    assert selected.name == "block_size"
    assert {cell.model.name for cell in selected.cells} == {"resnet18"}
    with pytest.raises(SuiteError, match='--only model=mlp: no cell has model "mlp"'):
        select(SUITES, NOBODY)


def test_a_resume_takes_the_recorded_suite_that_has_such_cells(tmp_path: Path) -> None:
    with Store.open(str(tmp_path / "x.sqlite")) as store:
        for name in SUITES:
            store.record_suite(name, "shipped", load(name).cells)
        for named in ((), SUITES):
            (selected,) = recorded(store, named, REQUEST)
            assert selected.name == "block_size"
        with pytest.raises(SuiteError, match='--only model=mlp: no cell has model "mlp"'):
            recorded(store, SUITES, NOBODY)


def test_a_bench_takes_the_suite_that_has_such_cells() -> None:
    assert {cell.model.name for cell in chosen(SUITES, ["model=resnet18"], ["rule.k=4"])} == {"resnet18"}
