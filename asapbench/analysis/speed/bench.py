"""`bench`: how fast cells train, one and several at once, compared with plain PyTorch. Imports no torch.

Each loop has its own process and so its own memory, as each cell of a run has. Cells are measured one after the other,
the loops of one cell in turn, round after round, so that other load affects all of them. The wall-clock time of whole
training steps is measured, after a warm-up.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from asapbench.analysis.speed import Benched, Loop, LoopName, Round, Speed
from asapbench.analysis.speed.protocol import (
    ANSWER,
    Answer,
    Command,
    Count,
    Counted,
    Failed,
    Measure,
    Measured,
    Prepare,
    Prepared,
)
from asapbench.data.lookup import check
from asapbench.errors import WorkerError
from asapbench.machine import compilers
from asapbench.machine.hardware import versions
from asapbench.machine.processor import instruction_sets, without_bf16
from asapbench.machine.slots import Slot, compile_threads, slots
from asapbench.paths import temporary_folder, without_links
from asapbench.suite.cell import FIELDS, Cell
from asapbench.suite.columns import distinct_labels
from asapbench.suite.load import load
from asapbench.suite.select import choose, data_path
from asapbench.training.settings import TrainingSettings
from asapbench.worker.process import start, tail

_LOADER_WORKERS = {"cuda": 2}
"""Processes that load the control's data: on a CPU none, since its cores train."""
Success = TypeVar("Success", Prepared, Measured, Counted)
_COSTS_NOTHING = ("lr", "schedule", "epochs", "seed")


@dataclass(frozen=True)
class Bench:
    """How to measure; `steps` or `seconds` of one measurement."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    slots: int = 1
    rounds: int = 9
    seconds: float = 1.0
    steps: int | None = None
    eager: bool = True
    loader_workers: int | None = None
    data: Path | None = None


def chosen(suites: Sequence[str], filters: Sequence[str], settings: Sequence[str]) -> list[Cell]:
    """The selected cells of the suites; of cells that cost the same, the first. Raises SuiteError."""
    kept = [name for name in FIELDS if name not in _COSTS_NOTHING]
    first: dict[tuple[object, ...], Cell] = {}
    for cells in choose(
        [load(suite, data_path=data_path(settings)).cells for suite in suites], filters=filters, settings=settings
    ):
        for cell in cells:
            first.setdefault(tuple(getattr(cell, name) for name in kept), cell)
    return list(first.values())


def bench(cells: Sequence[Cell], wanted: Bench, *, say: Callable[[str], None]) -> Benched:
    """Measure each cell; Ctrl-C keeps the results so far. Raises SuiteError for a missing device, DataError."""
    places = _places(wanted)
    if wanted.data is not None:
        for dataset in dict.fromkeys(cell.dataset for cell in cells):
            check(dataset, wanted.data)
    labels = distinct_labels(cells)
    for precision in dict.fromkeys(cell.precision for cell in cells):
        if text := without_bf16(precision, places[0].device, instruction_sets()):
            say(text)
    rows: list[_Row] = []
    stopped = False
    with _interruptible(), temporary_folder() as folder:
        try:
            for number, cell in enumerate(cells, start=1):
                rows.append(_Row(cell, wanted, places, Path(folder)))
                say(f"[{number}/{len(cells)}] {labels[cell.id]}")
                rows[-1].measure()
        except KeyboardInterrupt:
            stopped = True
    return Benched(
        tuple(row.speed for row in rows),
        rounds=wanted.rounds,
        threads=wanted.training.threads,
        images="random images" if wanted.data is None else "the data set's images",
        torch=versions()["torch"],
        stopped=stopped,
    )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also in a background job, which a shell starts with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _places(wanted: Bench) -> list[Slot]:
    """The slots of one device."""
    training = wanted.training
    found = slots(training.device, count=wanted.slots, threads=training.threads)
    compilers.check(found, compiled=training.compiled, cuda_graphs=training.cuda_graphs)
    return [slot for slot in found if slot.memory == found[0].memory]


class _Row:
    """One cell's loops and their measurements so far."""

    def __init__(self, cell: Cell, wanted: Bench, places: Sequence[Slot], folder: Path) -> None:
        self._wanted, self._places, self._folder = wanted, places, folder
        kind = places[0].kind
        names: list[LoopName] = ["own"]
        names += ["together"] if len(places) > 1 else []
        names += ["eager"] if wanted.eager else []
        self.speed = Speed(cell, "", kind, len(places), dict.fromkeys(names, Loop()))

    def measure(self) -> None:
        """Measure every round of every loop. A loop that fails has no more rounds; a failed own loop ends the row."""
        with ExitStack() as stack:
            processes = {name: [stack.enter_context(closing(p)) for p in self._started(name)] for name in self._loops}
            self._each(lambda name: self._prepare(name, processes[name]))
            together = processes["own"] + processes.get("together", [])
            for _ in range(self._wanted.rounds):
                self._each(lambda name: self._measure(name, together if name == "together" else processes[name]))
            self._each(lambda name: self._count(name, processes[name][0]))

    def _each(self, do: Callable[[LoopName], None]) -> None:
        """Call `do` for each loop that still runs; an error ends the loop."""
        for name in self._loops:
            try:
                do(name)
            except WorkerError as error:
                self._change(name, error=str(error))

    @property
    def _loops(self) -> list[LoopName]:
        """The loops that still run."""
        loops = self.speed.loops
        return [] if loops["own"].error else [name for name, loop in loops.items() if loop.error is None]

    def _started(self, name: LoopName) -> list[_Process]:
        """New processes; those of `together` are added to the process of `own`."""
        places = self._places[1:] if name == "together" else self._places[:1]
        return [_Process(slot, self._folder / f"{name}-{slot.number}.log") for slot in places]

    def _prepare(self, name: LoopName, processes: Sequence[_Process]) -> None:
        """One process after the other: a GPU's choice of kernels is made by timing them."""
        for process in processes:
            process.send(self._prepare_command(name))
            prepared = _require(process.receive(), Prepared)
            self.speed = replace(self.speed, device=prepared.device)

    def _measure(self, name: LoopName, processes: Sequence[_Process]) -> None:
        """All processes at once: their rates and peaks add up."""
        for process in processes:
            process.send(Measure(steps=self._wanted.steps, seconds=self._wanted.seconds))
        # Read every answer before any is checked: none may remain for the next command.
        measured = [_require(answer, Measured) for answer in [process.receive() for process in processes]]
        peaks = [one.peak_bytes for one in measured if one.peak_bytes is not None]
        found = Round(sum(one.examples / one.seconds for one in measured), sum(peaks) if peaks else None)
        self._change(name, rounds=(*self.speed.loops[name].rounds, found))

    def _count(self, name: LoopName, process: _Process) -> None:
        process.send(Count())
        self._change(name, operations=_require(process.receive(), Counted).operations)

    def _prepare_command(self, name: LoopName) -> Prepare:
        wanted, slot = self._wanted, self._places[0]
        workers = wanted.loader_workers
        return Prepare(
            loop="eager" if name == "eager" else "own",
            cell=self.speed.cell.to_json(places=True),
            # one process prepares after the other
            settings=replace(wanted.training.on(slot), compile_threads=compile_threads(1)),
            directory=str(self._folder / "checkpoints"),
            data=None if wanted.data is None else str(without_links(wanted.data)),
            code=str(self._folder / "code"),
            loader_workers=_LOADER_WORKERS.get(self.speed.kind, 0) if workers is None else workers,
        )

    def _change(self, name: LoopName, **changes: Any) -> None:
        self.speed = replace(self.speed, loops={**self.speed.loops, name: replace(self.speed.loops[name], **changes)})


def _require(answer: Answer, kind: type[Success]) -> Success:
    """Return `answer`, which must be of this kind. Raises WorkerError for a failure."""
    if isinstance(answer, Failed):
        raise WorkerError(answer.error)
    assert isinstance(answer, kind)
    return answer


class _Process:
    """One process that is timed."""

    def __init__(self, slot: Slot, log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = start("asapbench.analysis.speed.worker", slot, stderr=stderr)

    def send(self, command: Command) -> None:
        """Send a command; `receive` reports a process that is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(command.model_dump_json() + "\n")
            self._process.stdin.flush()

    def receive(self) -> Answer:
        """The next answer; a failure if the process has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # A library printed other lines before the process redirected its output.
            with contextlib.suppress(ValidationError):
                return ANSWER.validate_json(line)
        said = tail(self._log).strip().splitlines()[-1:]
        return Failed(error=": ".join([f"the process ended with exit status {self._process.wait()}", *said]))

    def close(self) -> None:
        """End it and the processes that load its data."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        # Closes its pipes and waits for it. A process that has died leaves a command in its pipe.
        with contextlib.suppress(BrokenPipeError), self._process:
            self._process.kill()
