"""The runner's interface to a worker on any executor: slot, commands, events in one inbox, and the cause of its end."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Literal, Protocol

from asapbench.machine.slots import Slot
from asapbench.worker.protocol import AnyEvent, Command


@dataclass(frozen=True)
class Cause:
    """What ended a worker: by itself, killed from outside, lost with its machine, or by the out-of-memory killer."""

    text: str
    how: Literal["failed", "killed", "lost", "out_of_memory"] = "failed"


class Worker(Protocol):
    """One worker on one slot, from its start to its end. The runner sets `ready` when its event `Ready` arrives."""

    slot: Slot
    ready: bool

    def send(self, command: Command) -> None:
        """Send a command; no error if the worker is gone, since its end arrives in the inbox."""

    def kill(self) -> None:
        """End it at once."""

    def close(self) -> None:
        """End an idle worker and wait for it; kill it if it does not end."""

    def cause_of_end(self) -> Cause:
        """What ended it."""

    def log_tail(self) -> str:
        """The end of what the worker and its libraries printed."""


@dataclass(frozen=True)
class WorkerEvent:
    """An event of a worker; None is the worker's end."""

    worker: Worker
    event: AnyEvent | None


Inbox = queue.SimpleQueue[WorkerEvent]
