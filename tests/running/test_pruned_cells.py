"""A cell that the run prunes stops alone, is discarded with the reason, and is no failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, Quiet

from asapbench.cli.progress import ended_text
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.assignment import Options
from asapbench.running.runner import Runner
from asapbench.running.view import Outcome
from asapbench.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.worker.files import Files
from asapbench.worker.protocol import Resumed, Stop, Train
from asapbench.worker.supervision import WorkerEvent

BAD, GOOD = load("quickstart").cells[:2]
REASON = "pruned after epoch 2 of 20 (median)"


def prune(cell: Cell, epochs: Sequence[EpochMetrics]) -> str | None:
    assert [row.epoch for row in epochs] == list(range(1, len(epochs) + 1))
    return REASON if cell.id == BAD.id and len(epochs) >= 2 else None


class Obedient(FakeWorker):
    """Stops what it is asked to stop, unless `is_quicker`: then the cell is done before the command comes."""

    is_quicker = False
    history: Sequence[EpochMetrics] = ()

    def send(self, command: Train | Stop) -> None:
        if isinstance(command, Train):
            super().send(command)
            return
        assert command.attempt == self.attempt
        self._executor.stops.append(command.attempt)
        self.end("done" if self.is_quicker else "interrupted")


class Stopping(FakeExecutor):
    def __init__(self, script, kind: type[Obedient]) -> None:
        super().__init__([Slot(0, "cpu")], script)
        self.kind, self.stops = kind, list[str]()

    def start(self, slot, inbox) -> Obedient:
        self.workers.append(self.kind(slot, inbox, self))
        return self.workers[-1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "x.sqlite")) as opened:
        yield opened


def three_epochs(worker: FakeWorker, cell: Cell) -> None:
    for number in (1, 2, 3):
        worker.finish_epoch(number)
    if cell.id == GOOD.id:
        worker.end("done")


def trained(store: Store, folder: Path, script=three_epochs, kind=Obedient) -> tuple[Outcome, Quiet, Stopping]:
    executor, view = Stopping(script, kind), Quiet()
    options = Options(folder, Files(folder / "files"))
    runner = Runner(store, [BAD, GOOD], executor, options=options, view=view, prune=prune)
    return runner.run(), view, executor


@pytest.mark.parametrize(("is_quicker", "state"), [(False, "interrupted"), (True, "done")])
def test_it_is_stopped_once_discarded_and_counted_as_pruned(
    store: Store, tmp_path: Path, is_quicker: bool, state: str
) -> None:
    kind = type("Kind", (Obedient,), {"is_quicker": is_quicker})
    outcome, view, executor = trained(store, tmp_path, kind=kind)
    assert outcome.ended == {"pruned": 1, "done": 1}
    assert outcome.reason == "finished"
    assert view.ends == [(BAD.id, "pruned", None), (GOOD.id, "done", None)]
    assert len(executor.stops) == len(executor.workers) == 1  # the same worker trains the next cell
    assert {cell: found.reason for cell, found in store.discards().items()} == {BAD.id: REASON}
    assert store.states([BAD.id])[BAD.id].state == state
    assert len(store.epochs(store.states([BAD.id])[BAD.id].lineage)) == 3


def test_a_resumed_cell_is_pruned_by_the_epochs_that_it_had(store: Store, tmp_path: Path) -> None:
    class Resuming(Obedient):
        def send(self, command: Train | Stop) -> None:
            if isinstance(command, Train) and Cell.from_json(command.cell) == BAD:
                self.attempt = command.attempt
                rows = [EpochMetrics(n, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, 1.0, 1.0, None) for n in (1, 2)]
                event = Resumed(attempt=self.attempt, history=rows, batch=0, bit_exact=True)
                self._inbox.put(WorkerEvent(self, event))
            else:
                super().send(command)

    outcome, _, _ = trained(store, tmp_path, kind=Resuming)
    assert outcome.ended == {"pruned": 1, "done": 1}


def test_a_failure_after_the_decision_is_a_failure(store: Store, tmp_path: Path) -> None:
    class Failing(Obedient):
        def send(self, command: Train | Stop) -> None:
            if isinstance(command, Train):
                super().send(command)
            else:
                self.end("failed", error="no", lasting=True)

    outcome, _, _ = trained(store, tmp_path, kind=Failing)
    assert outcome.ended == {"failed": 1, "done": 1}
    assert store.discards() == {}


def test_its_line_says_why() -> None:
    assert ended_text("pruned", BAD, REASON) == REASON
