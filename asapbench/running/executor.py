"""What the runner needs of an executor: slots, and a worker on each of them.

An executor starts the same worker process wherever it runs. The runner reads the events of all workers from one inbox
and is the only writer of the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from asapbench.machine.slots import Slot
from asapbench.worker.supervision import Inbox, Worker


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
