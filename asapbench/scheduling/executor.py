"""What the runner asks of an executor: slots, and a worker on each of them.

An executor starts the same worker body wherever it runs; the runner hears all workers through one inbox and remains
the one writer of the database.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from asapbench.scheduling.protocol import AnyEvent, Command
from asapbench.scheduling.slots import Slot


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

    def tell(self, command: Command) -> None:
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
class Heard:
    """An event of a worker, or None: its end."""

    worker: Worker
    event: AnyEvent | None


Inbox = queue.SimpleQueue[Heard]


class Executor(Protocol):
    """Where cells train."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Every slot there is now. A number is never given to another slot."""

    def news(self) -> Sequence[str]:
        """What a user should know of slots that came or went since the last call."""

    def start(self, slot: Slot, inbox: Inbox) -> Worker:
        """A new worker on `slot`; its events, and at last its end, arrive in `inbox`."""

    def close(self) -> None:
        """Gives back what the executor holds; every worker has been closed before."""
