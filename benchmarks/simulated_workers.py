"""Workers that train nothing: one process sends the events of all of them, each over its own socket.

The runner's side is the real `WorkerProcess`, with a thread per worker that reads and checks each line. Only the
process behind it is replaced.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import selectors
import socket
import time
from pathlib import Path
from typing import IO

from measuring import made_up_epoch

from asapbench.machine.hardware import hardware, versions
from asapbench.machine.slots import Slot
from asapbench.worker.protocol import (
    COMMAND,
    AnyEvent,
    Ended,
    FinishedEpoch,
    Progressed,
    Ready,
    Resumed,
    Stop,
)

EPOCH_SECONDS = 1.0
_BEATS = 2
"""Signs of life in each epoch: a real worker sends one every half second."""
_BATCHES = 390


class SimulatedProcess:
    """What `WorkerProcess` uses of a `subprocess.Popen`, with a socket to the process of `serve` in place of pipes."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.fspath(path))
        self.stdin = self._socket.makefile("w", encoding="utf-8")
        self.stdout = self._socket.makefile("r", encoding="utf-8")
        self.pid = os.getpid()

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout: float | None = None) -> int:
        del timeout
        self.kill()
        return 0


class Processes:
    """Takes the place of `asapbench.worker.process.start`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, module: str, slot: Slot, *, stderr: IO[bytes]) -> SimulatedProcess:
        del module, slot, stderr
        return SimulatedProcess(self._path)


def serve(path: Path) -> None:
    """Serves every connection to `path` as one worker, until this process is killed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen(1024)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        ready = Ready(versions=versions(), hardware=hardware())
        due: list[tuple[float, int, _Worker]] = []
        while True:
            wait = max(0.0, due[0][0] - time.monotonic()) if due else None
            for key, _ in selector.select(wait):
                if key.data is None:
                    connection, _ = listener.accept()
                    selector.register(connection, selectors.EVENT_READ, _Worker(connection, ready))
                elif (at := key.data.receive()) is not None:
                    heapq.heappush(due, (at, id(key.data), key.data))
                elif key.data.gone:
                    selector.unregister(key.fileobj)
                    key.data.connection.close()
            while due and due[0][0] <= time.monotonic():
                at, number, worker = heapq.heappop(due)
                if (after := worker.say(at)) is not None:
                    heapq.heappush(due, (after, number, worker))


class _Worker:
    """One worker, and what it has sent of its cell. The first cell starts at a random time within a second."""

    def __init__(self, connection: socket.socket, ready: Ready) -> None:
        connection.setblocking(False)
        self.connection, self.gone = connection, False
        self._phase, self._out, self._in, self._attempt = random.random() * EPOCH_SECONDS, b"", b"", ""
        self._epochs = self._beat = 0
        self._send(ready)

    def receive(self) -> float | None:
        """Read the runner's commands; return when the worker sends next if it starts a cell."""
        try:
            said = self.connection.recv(1 << 16)
        except OSError:
            said = b""
        if not said:
            self.gone, self._attempt = True, ""
            return None
        *lines, self._in = (self._in + said).split(b"\n")
        at = None
        for line in lines:
            command = COMMAND.validate_json(line)
            if isinstance(command, Stop):
                self._end("interrupted")
                continue
            self._attempt, self._epochs, self._beat = command.attempt, command.cell["epochs"], 0
            self._send(Resumed(attempt=self._attempt, history=[], batch=0, bit_exact=True))
            at = time.monotonic() + self._phase + EPOCH_SECONDS / _BEATS
            self._phase = 0.0
        return at

    def say(self, at: float) -> float | None:
        """Sends a sign of life, and the epoch if it has ended; returns the time of the next one."""
        if not self._attempt:
            return None
        self._beat += 1
        epoch, beat = divmod(self._beat - 1, _BEATS)
        batch = _BATCHES * (beat + 1) // _BEATS
        self._send(
            Progressed(
                attempt=self._attempt, epoch=epoch + 1, batch=batch, batches=_BATCHES, accuracy=0.5, rate=50_000.0
            )
        )
        if beat == _BEATS - 1:
            # `seconds` are the time now, on the clock that all processes of a machine share
            metrics = made_up_epoch(epoch + 1, seconds=time.monotonic())
            self._send(FinishedEpoch(attempt=self._attempt, metrics=metrics))
            if epoch + 1 == self._epochs:
                self._end("done")
                return None
        return at + EPOCH_SECONDS / _BEATS

    def _end(self, state: str) -> None:
        if self._attempt:
            self._send(Ended.model_validate({"attempt": self._attempt, "state": state}))
            self._attempt = ""

    def _send(self, event: AnyEvent) -> None:
        self._out += event.model_dump_json().encode() + b"\n"
        try:
            self._out = self._out[self.connection.send(self._out) :]
        except BlockingIOError:  # the runner is slow: the rest follows with the next event
            return
        except OSError:
            self.gone = True
