"""Where starts and ends of cells have to wait, every slot has its turn, and no cell suffers from the wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, Quiet, make_runner

from asapbench.machine.slots import Slot
from asapbench.running import runner as module
from asapbench.running.admission import Admission
from asapbench.running.leases import AwakeClock
from asapbench.running.slot_states import SlotStates
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

FIRST = load("quickstart").cells[0]
SLOTS = [Slot(number, "cpu") for number in range(4)]
HANG_SECONDS = 1.5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/results.sqlite") as store:
        yield store


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner listens to workers again after each start and each end."""
    monkeypatch.setattr(module, "_WORK_SECONDS", 0.0)


@pytest.fixture
def takes_a_second(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a call of the store take a second of the time in which workers are silent; nothing else takes any."""
    now = [0.0]
    monkeypatch.setattr(module, "AwakeClock", lambda: AwakeClock(lambda: now[0]))

    def slow(name: str) -> None:
        whole = getattr(Store, name)

        def slowly(*given: object, **named: object) -> object:
            now[0] += 1.0
            return whole(*given, **named)

        monkeypatch.setattr(Store, name, slowly)

    return slow


def seeds(number: int) -> list[Cell]:
    return [FIRST.with_seed(seed) for seed in range(number)]


def end_at_once(worker: FakeWorker, _cell: Cell) -> None:
    worker.finish_epoch(1)
    worker.end("done")


class EndTogether:
    """Every worker waits for the others, and all end in one moment."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []

    def __call__(self, worker: FakeWorker, _cell: Cell) -> None:
        self.workers.append(worker)
        if len(self.workers) == len(SLOTS):
            for one in self.workers:
                one.finish_epoch(1)
                one.end("done")


@pytest.mark.usefixtures("one_at_a_time")
def test_every_slot_trains_where_cells_end_as_fast_as_they_start(store: Store, tmp_path: Path) -> None:
    trained: Counter[int] = Counter()

    def script(worker: FakeWorker, cell: Cell) -> None:
        trained[worker.slot.number] += 1
        end_at_once(worker, cell)

    outcome = make_runner(store, seeds(12), FakeExecutor(SLOTS, script), tmp_path).run()
    assert dict(outcome.ended) == {"done": 12}
    assert trained == {slot.number: 3 for slot in SLOTS}


@pytest.mark.usefixtures("one_at_a_time")
def test_a_ready_worker_that_waits_for_its_cell_is_not_hung(
    store: Store, tmp_path: Path, takes_a_second: Callable[[str], None]
) -> None:
    takes_a_second("claim")
    view, executor = Quiet(), FakeExecutor(SLOTS, end_at_once)
    outcome = make_runner(store, seeds(4), executor, tmp_path, view=view, hang_seconds=HANG_SECONDS).run()
    assert dict(outcome.ended) == {"done": 4}
    assert not view.messages
    assert len(executor.workers) == len(SLOTS)


@pytest.mark.usefixtures("one_at_a_time")
def test_a_cell_whose_end_waits_to_be_recorded_is_not_hung(
    store: Store, tmp_path: Path, takes_a_second: Callable[[str], None]
) -> None:
    takes_a_second("finish")
    view, executor = Quiet(), FakeExecutor(SLOTS, EndTogether())
    outcome = make_runner(store, seeds(4), executor, tmp_path, view=view, hang_seconds=HANG_SECONDS).run()
    assert dict(outcome.ended) == {"done": 4}
    assert not view.messages
    assert [result.attempt.state for result in store.results()] == ["done"] * 4


@pytest.mark.usefixtures("one_at_a_time")
def test_a_second_signal_leaves_cells_done_whose_end_waits_to_be_recorded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(store, seeds(4), FakeExecutor(SLOTS, EndTogether()), tmp_path)
    finish = Store.finish

    def interrupted(*given: object, **named: object) -> object:
        runner.request_stop("signal")
        runner.request_stop("signal")
        return finish(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "finish", interrupted)
    outcome = runner.run()
    assert dict(outcome.ended) == {"done": 4}
    assert outcome.reason == "signal"


def test_what_trains_is_looked_up_once_where_many_configurations_wait(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_group = {cell.group: cell for cell in load("quickstart").cells}
    cells = list(by_group.values())[:4]
    looks: list[str] = []
    whole = SlotStates.cells_on

    def look(states: SlotStates, memory: str) -> list[Cell]:
        looks.append(memory)
        return whole(states, memory)

    monkeypatch.setattr(SlotStates, "cells_on", look)
    admission = Admission()
    for cell in cells:
        admission.limit(cell, 0)
    runner = make_runner(store, cells, FakeExecutor(SLOTS[:2], end_at_once), tmp_path, admission=admission)
    first, second = SLOTS[:2]
    runner._start(first)
    looks.clear()
    assert runner._next(second) is None
    assert looks == [second.memory]
