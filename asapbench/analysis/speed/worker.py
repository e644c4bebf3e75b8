"""A process that `bench` times: it builds one loop of one cell and runs it on command."""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch

from asapbench.analysis.speed.protocol import (
    COMMAND,
    Answer,
    Command,
    Counted,
    Failed,
    Measure,
    Measured,
    Prepare,
    Prepared,
)
from asapbench.analysis.speed.timed_loop import TimedLoop
from asapbench.data.images import load, random_images
from asapbench.errors import AsapbenchError
from asapbench.machine.compilers import keep_code_in
from asapbench.machine.hardware import hardware
from asapbench.streams import steady_streams
from asapbench.suite.cell import Cell
from asapbench.training.environment import is_out_of_memory, peak_memory, reset_peak_memory, synchronize
from asapbench.worker.serving import start_serving


class Loop(Protocol):
    """A training loop that is timed."""

    @property
    def device(self) -> torch.device:
        """The device that trains."""

    def steps(self, enough: Callable[[int], bool]) -> int:
        """Trains until `enough` is true of the number of steps, at least one; returns the number of examples."""

    def flops(self) -> float:
        """Floating-point operations of a step, by example."""


_WARM_UP = 4
"""Steps before anything is measured: allocations, the choice of kernels, the optimizer's state, a CUDA graph."""


def main() -> None:
    """Serves commands until standard input closes."""
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    answers = start_serving(lambda line: commands.put(COMMAND.validate_json(line)))
    serve = _Server()
    with steady_streams():  # the log's disk may be full
        while True:
            answers.write(_answer(serve, commands.get()).model_dump_json() + "\n")
            answers.flush()


def _answer(serve: _Server, command: Command) -> Answer:
    try:
        return serve(command)
    except AsapbenchError as error:
        return Failed(error=str(error))
    except Exception as error:  # noqa: BLE001 - the parent process reports every failure
        traceback.print_exc()
        return Failed(error="out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {error}")


class _Server:
    """Executes commands on the loop that was prepared last."""

    _loop: Loop
    _uses_graphs: bool

    def __call__(self, command: Command) -> Answer:
        """Execute one command."""
        if isinstance(command, Prepare):
            self._loop = _built(command)
            self._uses_graphs = isinstance(self._loop, TimedLoop) and self._loop.trainer.uses_graphs
            self._loop.steps(lambda done: done >= _WARM_UP)
            return Prepared(device=_name(self._loop.device))
        if isinstance(command, Measure):
            return _measure(self._loop, command, uses_graphs=self._uses_graphs)
        return Counted(operations=self._loop.flops())


def _built(command: Prepare) -> Loop:
    cell, settings = Cell.from_json(command.cell), command.settings
    images = random_images(cell.dataset) if command.data is None else load(cell.dataset, Path(command.data))
    if command.loop == "own":
        keep_code_in(command.code)
        return TimedLoop(cell, images, settings=settings, directory=Path(command.directory))
    from asapbench.analysis.speed.plain_loop import PlainLoop  # torchvision is no part of a run's memory

    torch.set_num_threads(settings.threads)
    return PlainLoop(cell, images, device=torch.device(settings.device), workers=command.loader_workers)


def _measure(loop: Loop, command: Measure, *, uses_graphs: bool) -> Measured:
    def enough(done: int) -> bool:
        if command.steps is not None:
            return done >= command.steps
        return time.perf_counter() - started >= command.seconds

    reset_peak_memory(loop.device)
    synchronize(loop.device)
    started = time.perf_counter()
    examples = loop.steps(enough)
    synchronize(loop.device)
    seconds = time.perf_counter() - started
    return Measured(examples=examples, seconds=seconds, peak_bytes=peak_memory(loop.device, uses_graphs=uses_graphs))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(hardware()["processor"])


if __name__ == "__main__":
    main()
