"""The runner's interface to executors and their workers: slots, commands, events in one inbox, the cause of an end.

An executor starts the same worker process wherever it runs. The runner reads the events of all workers from one inbox
and is the only writer of the database.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
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


Inbox = queue.SimpleQueue[WorkerEvent | None]
"""None wakes the receiver, for example from a signal handler: it carries no event."""


class Executor(Protocol):
    """Where cells train."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Every slot there is now. A number is never used for another slot."""

    def notices(self) -> Sequence[str]:
        """Messages to the user about slots that appeared or vanished since the last call."""

    def start(self, slot: Slot, inbox: Inbox) -> Worker:
        """Start a worker on `slot`; its events, and at last its end, arrive in `inbox`."""

    def close(self) -> None:
        """Release what the executor holds; every worker has been closed before."""
