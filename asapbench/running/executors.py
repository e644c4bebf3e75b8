"""The executor of this machine, and the executor and the slots that the settings ask for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asapbench.errors import WorkerError, install_extra
from asapbench.machine import compilers
from asapbench.machine.memory import KernelKills
from asapbench.machine.slots import Slot, free_bytes, slots
from asapbench.running.admission import Admission
from asapbench.running.settings import RunSettings
from asapbench.store.store import Store
from asapbench.suite import plugins
from asapbench.suite.options import Choice
from asapbench.training.settings import TrainingSettings
from asapbench.worker.files import Files
from asapbench.worker.process import WorkerProcess
from asapbench.worker.supervision import Executor, Inbox


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


def make_executor(
    run: RunSettings, training: TrainingSettings, *, files: Files, data: Path, datasets: Sequence[Choice]
) -> Executor:
    """The executor; every node of a cluster needs `data` and `files`. Raises SuiteError, WorkerError."""
    if run.executor == "ray":
        _require_ray()
        from asapbench.running.ray_executor import RayExecutor
        from asapbench.running.ray_node import Needs

        files.make()
        needs = Needs(files.mark(), data, tuple(datasets), tuple(plugins.sources()))
        return RayExecutor(files, needs, **_wanted(run, training), address=run.address)
    return LocalExecutor(_local_slots(run, training), files)


def planned_slots(run: RunSettings, training: TrainingSettings) -> Sequence[Slot]:
    """The slots that a run would have."""
    if run.executor == "ray":
        _require_ray()
        from asapbench.running.ray_executor import planned

        return planned(**_wanted(run, training), address=run.address)
    return _local_slots(run, training)


def admission(store: Store, found: Sequence[Slot], run: RunSettings) -> Admission:
    """How many cells may train at a time: one on each slot; under `--slots auto`, as many as free memory allows."""
    if run.slots != "auto":
        return Admission()
    kind = found[0].kind
    return Admission(free_bytes(found), kind=kind, peaks=store.measured_peak_bytes(kind))


def _local_slots(run: RunSettings, training: TrainingSettings) -> list[Slot]:
    found = slots(**_wanted(run, training))
    compilers.check(found, compiled=training.compiled, cuda_graphs=training.cuda_graphs)
    return found


def _wanted(run: RunSettings, training: TrainingSettings) -> dict[str, Any]:
    return {"device": training.device, "count": run.slots, "threads": training.threads}


def _require_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise WorkerError(f"--executor ray needs Ray: {install_extra('ray')}")
