"""Starts and ends of cells, a commit each, keep no epoch of another cell from being written for long."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, make_runner

from asapbench.machine.slots import Slot
from asapbench.running import runner as module
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

CELLS = [load("quickstart").cells[0].with_seed(seed) for seed in range(3)]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written, in order."""
    found: list[str] = []
    for name in ("claim", "record_many", "finish"):
        whole = getattr(Store, name)

        def noted(*given: object, _name: str = name, _whole: object = whole, **named: object) -> object:
            found.append(_name)
            return _whole(*given, **named)

        monkeypatch.setattr(Store, name, noted)
    return found


def run(folder: Path, executor: FakeExecutor) -> None:
    with Store.open(f"sqlite:///{folder}/results.sqlite") as store:
        store.record_suite("small", "here", CELLS)
        make_runner(store, CELLS, executor, folder).run()
        assert [result.attempt.state for result in store.results()] == ["done"] * len(CELLS)
        assert [result.attempt.epochs_done for result in store.results()] == [1] * len(CELLS)


def test_epochs_are_written_before_the_ends_that_came_with_them(tmp_path: Path, written: list[str]) -> None:
    together: list[FakeWorker] = []

    def script(worker: FakeWorker, _cell: Cell) -> None:
        together.append(worker)
        if len(together) == len(CELLS):
            for one in together:
                one.finish_epoch(1)
                one.end("done")

    run(tmp_path, FakeExecutor([Slot(number, "cpu") for number in range(len(CELLS))], script))
    assert written == ["claim"] * 3 + ["record_many"] + ["finish"] * 3


def test_epochs_are_written_between_starts_that_take_long(
    tmp_path: Path, written: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WORK_SECONDS", 0.0)

    def script(worker: FakeWorker, cell: Cell) -> None:
        worker.finish_epoch(1)
        if cell.seed == CELLS[-1].seed:
            for one in list(worker._executor.training):
                one.end("done")

    run(tmp_path, FakeExecutor([Slot(number, "cpu") for number in range(len(CELLS))], script))
    assert written == ["claim", "record_many"] * 3 + ["finish"] * 3
