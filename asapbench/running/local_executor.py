"""The executor of this machine: one worker process per slot."""

from __future__ import annotations

from collections.abc import Sequence

from asapbench.machine.memory import KernelKills
from asapbench.machine.slots import Slot
from asapbench.worker.files import Files
from asapbench.worker.process import WorkerProcess
from asapbench.worker.supervision import Inbox


class LocalExecutor:
    """One process per slot on this machine, each with its own log in `files`."""

    def __init__(self, slots: Sequence[Slot], files: Files) -> None:
        self.slots, self._files, self._kills = slots, files, KernelKills()

    def notices(self) -> Sequence[str]:
        """None: the slots of one machine stay."""
        return ()

    def start(self, slot: Slot, inbox: Inbox) -> WorkerProcess:
        """Start a process on `slot`."""
        return WorkerProcess(slot, log=self._files.log(slot.number), inbox=inbox, kills=self._kills)

    def close(self) -> None:
        """Remove the logs: the end of each that matters is in the database."""
        self._files.remove_logs()
