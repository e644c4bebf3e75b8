"""From the start of a worker process to its first training step: where the seconds go.

python benchmarks/worker_start.py --suite cpu --data DIR

The control is a bare `import torch` in a new process. Wall time, as a user waits; medians, least and most.
"""

from __future__ import annotations

import argparse
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
from tabulate import tabulate

from asapbench.data.files import data_root
from asapbench.machine.slots import Slot
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.training.settings import TrainingSettings
from asapbench.worker.process import WorkerProcess
from asapbench.worker.protocol import Ended, Ready, Resumed, Stop, Train
from asapbench.worker.supervision import Inbox

CONTROL = "`import torch` alone, in a new process"
READY = "process started, torch and asapbench imported"
ATTACHED = "data read, model built, rule attached"
STEPPED = "the first step, and its checkpoint"


def bare(slot: Slot) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], env=os.environ | slot.environment(), check=True)
    return time.perf_counter() - began


def started(cell: Cell, slot: Slot, *, data: Path, folder: Path) -> dict[str, float]:
    """Seconds of each part, for a cell that stops after its first step."""
    inbox: Inbox = queue.SimpleQueue()
    marks = [time.perf_counter()]
    worker = WorkerProcess(slot, log=folder / "log", inbox=inbox)
    try:
        for kind in (Ready, Resumed, Ended):
            while not isinstance(event := inbox.get(timeout=120).event, kind):
                if event is None or isinstance(event, Ended):
                    raise SystemExit(worker.log_tail() if event is None else f"the cell has ended: {event.error}")
            marks.append(time.perf_counter())
            if kind is Ready:
                worker.send(Train(
                    attempt="first", cell=cell.to_json(), directory=str(folder / "checkpoints"), previous=[],
                    data=str(data), weights=None,
                    settings=TrainingSettings(checkpoint_seconds=3600.0).on(slot),
                ))  # fmt: skip
                worker.send(Stop())
    finally:
        worker.kill()
        worker.close()
    return dict(zip((READY, ATTACHED, STEPPED), (b - a for a, b in pairwise(marks)), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="quickstart", help="whose first cell is started")
    parser.add_argument("--data", type=Path, help="as of `asapbench run`")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    cell, slot = load(given.suite).cells[0], Slot(0, "cpu")
    found: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            parts = started(cell, slot, data=data_root(given.data), folder=Path(folder))
        for name, taken in ({CONTROL: bare(slot)} | parts | {"all": sum(parts.values())}).items():
            found.setdefault(name, []).append(taken)
    rows = []
    for name, seconds in found.items():
        rows.append([name, statistics.median(seconds), min(seconds), max(seconds)])
    print(f"{cell.label}; {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
          f"wall time, n = {given.rounds}\n")  # fmt: skip
    print(tabulate(rows, ["", "median s", "min", "max"], floatfmt=".2f", tablefmt="github"))


if __name__ == "__main__":
    main()
