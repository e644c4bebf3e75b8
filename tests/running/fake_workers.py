"""The runner with workers that exist only as a script: no process, no torch, devices that are a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.admission import Admission
from asapbench.running.assignment import Options
from asapbench.running.plan import Plan
from asapbench.running.runner import Runner
from asapbench.running.settings import RunSettings
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.training.settings import TrainingSettings
from asapbench.worker.files import Files
from asapbench.worker.protocol import Ended, FinishedEpoch, Progressed, Ready, Resumed, Stop, Train
from asapbench.worker.supervision import Cause, Inbox, WorkerEvent

Script = Callable[["FakeWorker", Cell], None]


def epoch(number: int, peak: int | None = None) -> EpochMetrics:
    return EpochMetrics(number, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, 1.0, 1.0, peak)


class FakeWorker:
    """`say` puts an event in the inbox as a real worker's thread would."""

    def __init__(self, slot: Slot, inbox: Inbox, executor: FakeExecutor) -> None:
        self.slot, self.ready, self.alive = slot, False, True
        self._inbox, self._executor, self.attempt = inbox, executor, ""
        self.cause = Cause("it was killed by a test", "killed")
        self._inbox.put(WorkerEvent(self, Ready(versions={}, hardware={})))

    def send(self, command: Train | Stop) -> None:
        if isinstance(command, Train):
            cell = Cell.from_json(command.cell)
            self.attempt = command.attempt
            self._executor.began(self, cell)
            self._inbox.put(WorkerEvent(self, Resumed(attempt=self.attempt, history=[], batch=0, bit_exact=True)))
            self._executor.script(self, cell)
        else:
            self.end("interrupted")

    def finish_epoch(self, number: int, *, peak: int | None = None) -> None:
        self._inbox.put(WorkerEvent(self, FinishedEpoch(attempt=self.attempt, metrics=epoch(number, peak))))

    def end(self, state: str, *, error: str | None = None, lasting: bool = False) -> None:
        self._executor.training.pop(self, None)
        self._inbox.put(WorkerEvent(self, Ended(attempt=self.attempt, state=state, error=error, lasting=lasting)))

    def die(self, cause: Cause) -> None:
        self._executor.training.pop(self, None)
        self.cause = cause
        self._inbox.put(WorkerEvent(self, None))

    def kill(self) -> None:
        self.alive = False
        self._executor.training.pop(self, None)

    def close(self) -> None:
        self.alive = False

    def cause_of_end(self) -> Cause:
        return self.cause

    def log_tail(self) -> str:
        return ""


class FakeExecutor:
    """Runs `script` for each cell that a worker is given; remembers who trained beside whom."""

    def __init__(self, slots: Sequence[Slot], script: Script) -> None:
        self.slots, self.script = slots, script
        self.training: dict[FakeWorker, Cell] = {}
        self.most: Counter[str] = Counter()
        self.order: list[tuple[str, int]] = []
        self.workers: list[FakeWorker] = []

    def notices(self) -> Sequence[str]:
        return ()

    def start(self, slot: Slot, inbox: Inbox) -> FakeWorker:
        self.workers.append(FakeWorker(slot, inbox, self))
        return self.workers[-1]

    def began(self, worker: FakeWorker, cell: Cell) -> None:
        self.training[worker] = cell
        beside = self.beside(worker)
        self.most[worker.slot.memory] = max(self.most[worker.slot.memory], beside + 1)
        self.order.append((cell.id, beside))

    def beside(self, worker: FakeWorker) -> int:
        return sum(other.slot.memory == worker.slot.memory for other in self.training) - 1

    def close(self) -> None:
        pass


class Quiet:
    """A view that keeps the reported ends, lets tests act at every tick, and ends a run that would never end."""

    def __init__(self, at_tick: Callable[[], None] = lambda: None) -> None:
        self.ends: list[tuple[str, str, str | None]] = []
        self.messages: list[str] = []
        self._at_tick, self._ticks = at_tick, 0

    def begin(self, plan: Plan, slots: Sequence[Slot]) -> None:
        pass

    def close(self) -> None:
        pass

    def began(self, slot: Slot, cell: Cell, *, epochs_done: int, batch: int, bit_exact: bool) -> None:
        pass

    def progressed(self, slot: Slot, cell: Cell, event: Progressed) -> None:
        pass

    def finished_epoch(self, slot: Slot, cell: Cell, metrics: EpochMetrics) -> None:
        pass

    def ended(self, slot: Slot, cell: Cell, state: str, error: str | None, *, retry: str | None) -> None:
        self.ends.append((cell.id, state, retry))

    def message(self, text: str) -> None:
        self.messages.append(text)

    def tick(self) -> None:
        self._ticks += 1
        assert self._ticks < 200, "the run never ends"
        self._at_tick()


def make_runner(
    store: Store,
    cells: Sequence[Cell],
    executor: FakeExecutor,
    folder: Path,
    *,
    admission: Admission | None = None,
    view: Quiet | None = None,
    training: TrainingSettings | None = None,
    **options: object,
) -> Runner:
    chosen = Options(folder, Files(folder / "files"), RunSettings(**options), training=training or TrainingSettings())
    return Runner(store, cells, executor, options=chosen, view=view or Quiet(), admission=admission)
