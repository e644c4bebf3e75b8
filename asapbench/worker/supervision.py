"""What the runner sees of a worker, wherever it runs: its slot, its messages in one inbox, and the cause of its end."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Literal, Protocol

from asapbench.machine.slots import Slot
from asapbench.worker.protocol import AnyEvent, Command


@dataclass(frozen=True)
class Cause:
    """What ended a worker, in words; and how: by itself, killed from outside, lost with its machine, or killed by the
    kernel, for memory.
    """

    text: str
    how: Literal["failed", "killed", "lost", "out_of_memory"] = "failed"


class Worker(Protocol):
    """One worker on one slot, from its start to its end. `ready` is the runner's note that it has said so."""

    slot: Slot
    ready: bool

    def send(self, command: Command) -> None:
        """Sends a command. To a worker that is gone it says nothing: its end arrives in the inbox."""

    def kill(self) -> None:
        """Ends it at once."""

    def close(self) -> None:
        """Lets an idle worker go and waits for its end; kills one that does not end."""

    def cause_of_end(self) -> Cause:
        """What ended it."""

    def log_tail(self) -> str:
        """The end of what it and its libraries printed."""


@dataclass(frozen=True)
class WorkerEvent:
    """An event of a worker, or None: its end."""

    worker: Worker
    event: AnyEvent | None


Inbox = queue.SimpleQueue[WorkerEvent]
