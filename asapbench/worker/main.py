"""A worker process: takes cells as JSON lines on standard input, trains them, and emits events as JSON lines.

It is reused from cell to cell, because importing torch costs seconds. It ends when its parent does: standard input
closes (`orphan` ends one that hangs). What libraries print goes to standard error, which the runner keeps as the
log.
"""

from __future__ import annotations

import gc
import os
import queue
import threading
import time
import traceback
from collections.abc import Sequence, Set
from functools import lru_cache
from pathlib import Path
from typing import IO

import torch

from asapbench.data.images import Images, load
from asapbench.errors import AsapbenchError, DivergedError
from asapbench.machine.compilers import keep_code_in
from asapbench.machine.hardware import hardware, versions
from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.streams import steady_streams
from asapbench.suite import plugins
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice
from asapbench.training.checkpoint import write_file
from asapbench.training.environment import is_out_of_memory, release_memory
from asapbench.training.listener import Listener
from asapbench.training.trainer import Trainer
from asapbench.worker.protocol import (
    COMMAND,
    Aligned,
    Alive,
    AnyEvent,
    Ended,
    FinishedEpoch,
    Progressed,
    Ready,
    Resumed,
    Stop,
    Train,
    Warned,
)
from asapbench.worker.serving import start_serving

_ALIVE_SECONDS = 5.0
"""Between two signs of life of a cell that sends nothing else."""


class Channel:
    """Events to the parent; one at a time, each a line. `sent` is when the last one was, on the monotonic clock."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self.sent = time.monotonic()

    def send(self, event: AnyEvent) -> None:
        """Writes one event. A parent that is gone ends this process."""
        with self._lock:
            try:
                self._stream.write(event.model_dump_json() + "\n")
                self._stream.flush()
                self.sent = time.monotonic()
            except BrokenPipeError:
                os._exit(1)


class EventListener(Listener):
    """The listener of one cell: sends each event to the parent.

    `stopped` has the attempts that the parent has asked to stop; None stands for all.
    """

    def __init__(self, attempt: str, channel: Channel, stopped: Set[str | None]) -> None:
        self._attempt, self._channel, self._stopped = attempt, channel, stopped

    def warned(self, message: str) -> None:
        """Sends a warning."""
        self._channel.send(Warned(attempt=self._attempt, message=message))

    def resumed(self, history: Sequence[EpochMetrics], *, batch: int, bit_exact: bool) -> None:
        """Sends where the cell starts."""
        self._channel.send(Resumed(attempt=self._attempt, history=list(history), batch=batch, bit_exact=bit_exact))

    def progressed(self, *, epoch: int, batch: int, batches: int, accuracy: float, rate: float) -> None:
        """Sends a sign of life."""
        self._channel.send(
            Progressed(attempt=self._attempt, epoch=epoch, batch=batch, batches=batches, accuracy=accuracy, rate=rate)
        )

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Sends a durable epoch."""
        self._channel.send(FinishedEpoch(attempt=self._attempt, metrics=metrics))

    def aligned(self, rows: Sequence[LayerRow]) -> None:
        """Sends durable measurements of layers."""
        self._channel.send(Aligned(attempt=self._attempt, rows=list(rows)))

    def should_stop(self) -> bool:
        """Whether the parent asked to stop. Sends a sign of life if nothing else was sent for some seconds."""
        if time.monotonic() - self._channel.sent >= _ALIVE_SECONDS:
            self._channel.send(Alive(attempt=self._attempt))
        return None in self._stopped or self._attempt in self._stopped


def main() -> None:
    """Serves commands until standard input closes."""
    stopped: set[str | None] = set()
    commands: queue.SimpleQueue[Train] = queue.SimpleQueue()

    def receive(line: str) -> None:
        command = COMMAND.validate_json(line)
        if isinstance(command, Stop):
            stopped.add(command.attempt)
        else:
            commands.put(command)

    channel = Channel(start_serving(receive))
    channel.send(Ready(versions=versions() | plugins.versions(), hardware=hardware()))
    with steady_streams():  # the log's disk may be full
        while True:
            command = commands.get()
            channel.send(_attempt(command, channel, stopped))


def _attempt(command: Train, channel: Channel, stopped: Set[str | None]) -> Ended:
    """Trains one cell and frees its memory: a model and its graph refer to each other, which only `gc` resolves."""
    ended = _trained(command, channel, stopped)
    gc.collect()
    # After a failure the runner ends this process, and its GPU may be unusable.
    if ended.state not in ("failed", "out_of_memory"):
        release_memory(torch.device(command.settings.device))
    return ended


def _trained(command: Train, channel: Channel, stopped: Set[str | None]) -> Ended:
    """Trains one cell; whatever it raises becomes the attempt's end."""
    attempt = command.attempt
    trainer: Trainer | None = None
    try:
        cell = Cell.from_json(command.cell)
        if command.settings.compiled:
            keep_code_in(command.code)
        trainer = Trainer(
            cell,
            _images(cell.dataset, command.data),
            settings=command.settings,
            directory=Path(command.directory),
            previous=[Path(path) for path in command.previous],
            listener=EventListener(attempt, channel, stopped),
        )
        state = trainer.fit()
        digest = None
        if state == "done" and command.weights is not None:
            weights, path = trainer.state.weights(), Path(command.weights)
            digest = trainer.checkpoints.retry_policy.call(lambda: write_file(weights, path))
        return Ended(attempt=attempt, state=state, bit_exact=trainer.state.bit_exact, weights_digest=digest)
    except DivergedError as error:
        exact = trainer is None or trainer.state.bit_exact
        return Ended(attempt=attempt, state="diverged", error=str(error), bit_exact=exact)
    except Exception as error:  # noqa: BLE001 - the worker's border: every failure is recorded with its whole traceback
        whole = traceback.format_exc()
        if is_out_of_memory(error):
            return Ended(attempt=attempt, state="out_of_memory", error=whole)
        if isinstance(error, AsapbenchError):  # what asapbench itself has refused, it refuses again
            return Ended(attempt=attempt, state="failed", error=f"{error}\n\n{whole}", lasting=True)
        return Ended(attempt=attempt, state="failed", error=whole)


@lru_cache(maxsize=1)
def _images(dataset: Choice, root: str) -> Images:
    """The data; those of the last cell are kept, because neighbours in a grid mostly have the same."""
    return load(dataset, Path(root))


if __name__ == "__main__":
    main()
