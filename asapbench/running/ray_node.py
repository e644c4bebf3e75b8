"""What runs on a node of a Ray cluster: a look at whether cells can train there, and one worker process.

Plain code that imports no Ray: `ray_executor` makes an actor of `NodeWorker` and a task of `what_is_missing`.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asapbench import __version__
from asapbench.data.lookup import check
from asapbench.errors import DataError, PluginError
from asapbench.machine.slots import Slot
from asapbench.suite import plugins
from asapbench.suite.options import Choice
from asapbench.worker.process import WorkerProcess
from asapbench.worker.protocol import COMMAND
from asapbench.worker.supervision import Cause, Inbox


@dataclass(frozen=True)
class Needs:
    """What a node must have: this version, the folder of the run's files (that contains `mark`), plug-ins, the data."""

    mark: Path
    data: Path
    datasets: tuple[Choice, ...]
    plugins: tuple[str, ...] = ()
    version: str = __version__


def what_is_missing(needs: Needs) -> str | None:
    """Why cells cannot train on this node; None if they can."""
    if needs.version != __version__:
        return f"asapbench {__version__} is installed there and {needs.version} here: install the same version"
    if not os.path.exists(needs.mark):
        folder = needs.mark.parent.parent
        return f"{folder} is not the same folder there as here: every node must see it, as on a network file system"
    try:
        plugins.load_all(needs.plugins)
        for dataset in needs.datasets:
            check(dataset, needs.data)
    except (DataError, PluginError) as error:
        return str(error)
    return None


@dataclass(frozen=True)
class NodeEvents:
    """Events of a worker process, each a line of JSON, and the cause of its end with the last ones."""

    events: tuple[str, ...]
    end: Cause | None = None


class NodeWorker:
    """One worker process on this node, with the plug-ins `named`, which ends when this object's process does."""

    def __init__(self, slot: Slot, log: Path, named: Sequence[str] = ()) -> None:
        plugins.load_all(named)
        self._inbox: Inbox = queue.SimpleQueue()
        self._process = WorkerProcess(slot, log=log, inbox=self._inbox)

    def receive(self) -> NodeEvents:
        """Wait for events of the process and return all there are."""
        events: list[str] = []
        while True:
            received = self._inbox.get()
            if received is None:
                continue
            if (event := received.event) is None:
                return NodeEvents(tuple(events), self._process.cause_of_end())
            events.append(event.model_dump_json())
            if self._inbox.empty():
                return NodeEvents(tuple(events))

    def send(self, command: str) -> None:
        """Forward a command."""
        self._process.send(COMMAND.validate_json(command))

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def close(self) -> None:
        """End an idle process and wait for it."""
        self._process.close()
