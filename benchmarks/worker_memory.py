"""Time and resident memory of worker processes by stage: what is private to each worker, and what they share.

python benchmarks/worker_memory.py --slots 1 2 --data DIR

Workers start as `asapbench run` starts them, and train an epoch of ResNet-18 at batch 128. Peak: the largest resident
set inside the stage (VmHWM, reset at its start). The other columns are for the stage's end. Private: pages
that only this process has (Private_Dirty). Files: pages of libraries and of the mapped images, which all processes
share through the page cache and the kernel drops when memory is short. With several workers, a row is their mean.
Together: the private pages of all, and the files once. Linux only; this process does not import torch.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import queue
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measuring import conditions
from tabulate import tabulate

from asapbench.data.files import data_root
from asapbench.machine.slots import Slot
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse
from asapbench.training.settings import TrainingSettings
from asapbench.worker.process import WorkerProcess
from asapbench.worker.protocol import AnyEvent, Ended, FinishedEpoch, Progressed, Ready, Resumed, Stop, Train
from asapbench.worker.supervision import Inbox

STAGES = (
    "process started, torch and asapbench imported",
    "data read, model built, rule attached",
    "the first steps",
    "the epoch's other steps, with checkpoints",
    "evaluation, and its checkpoint",
)
SUITE = """
[suite]
name = "memory"
[[grid]]
dataset = {dataset}
model = {{ name = "resnet18", width = {width} }}
rule = "{rule}"
optimizer = {{ name = "sgd", momentum = 0.9 }}
lr = 0.03
epochs = 2
batch_size = 128
augment = "crop_flip"
"""
MB = 1e6


@dataclass
class Figures:
    """One stage: wall time in seconds, the peak in bytes and, at its end, the private bytes and those of files."""

    seconds: float
    peak: float
    private: float
    files: dict[str, float]


@dataclass
class Watched:
    """One worker, and the figures of its ended stages."""

    worker: WorkerProcess
    stages: list[Figures] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)
    peak: float = 0.0
    """The peak of the ended epoch as the worker reports it: the worker resets the mark when the next epoch starts."""

    def receive(self, event: AnyEvent) -> None:
        """Ends the stage that the event ends."""
        match (len(self.stages), event):
            case (0, Ready()) | (1, Resumed()):
                self._end_stage()
            case (2, Progressed(batch=batch)) if batch > 1:
                self._end_stage()
            case (3, Progressed(batch=batch, batches=batches)) if batch == batches:
                self._end_stage()
            case (4, FinishedEpoch(metrics=metrics)):
                self.peak = metrics.peak_memory_bytes or 0.0
            case (4, Progressed(epoch=2)):
                self._end_stage()

    def _end_stage(self) -> None:
        process = Path("/proc", str(self.worker.pid))
        (high,) = (line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:"))
        peak = self.peak or int(high.split()[1]) * 1024
        seconds = time.perf_counter() - self.since
        self.stages.append(Figures(seconds, peak, *_pages((process / "smaps").read_text(errors="replace"))))
        self.since = time.perf_counter()
        (process / "clear_refs").write_text("5", encoding="ascii")


def _pages(smaps: str) -> tuple[float, dict[str, float]]:
    """Private bytes, and those of files by kind."""
    private, files, kind = 0.0, {"images": 0.0, "libraries": 0.0}, ""
    for line in smaps.splitlines():
        words = line.split(maxsplit=5)
        if not words[0].endswith(":"):
            kind = "images" if "/.asapbench/" in words[-1] else "libraries"
        elif words[0] == "Rss:":
            files[kind] += int(words[1]) * 1024
        elif words[0] == "Private_Dirty:":
            files[kind] -= int(words[1]) * 1024
            private += int(words[1]) * 1024
    return private, files


def watched(cell: Cell, slots: int, *, stages: int, data: Path, folder: Path) -> list[Watched]:
    """Trains `cell` in `slots` workers side by side, until each has ended `stages` stages."""
    inbox: Inbox = queue.SimpleQueue()
    found = []
    with contextlib.ExitStack() as ending:
        for number in range(slots):
            worker = WorkerProcess(Slot(number, "cpu"), log=folder / f"log{number}", inbox=inbox)
            ending.callback(worker.close)
            ending.callback(worker.kill)
            worker.send(_command(cell, data=data, folder=folder / str(number)))
            found.append(Watched(worker))
        while any(len(one.stages) < stages for one in found):
            received = inbox.get(timeout=600)
            assert received is not None  # only a runner wakes itself
            (one,) = (one for one in found if one.worker is received.worker)
            if received.event is None or (isinstance(received.event, Ended) and received.event.state != "interrupted"):
                raise SystemExit(f"a worker has ended after {len(one.stages)} stages: {one.worker.log_tail()}")
            one.receive(received.event)
            if len(one.stages) == stages:
                one.worker.send(Stop())
    return found


def _command(cell: Cell, *, data: Path, folder: Path) -> Train:
    return Train(
        attempt="first", cell=cell.to_json(), directory=str(folder), previous=[], data=str(data), weights=None,
        settings=TrainingSettings(device="cpu", checkpoint_seconds=5.0),
    )  # fmt: skip


def rows(found: Sequence[Watched]) -> list[list[object]]:
    """A row for each stage."""
    made: list[list[object]] = []
    for name, figures in zip(STAGES, zip(*(one.stages for one in found), strict=True), strict=False):
        files = [_mean(one.files[kind] for one in figures) for kind in ("libraries", "images")]
        private = _mean(one.private for one in figures)
        together = private * len(figures) + sum(files)
        bytes_ = [_mean(one.peak for one in figures), private + sum(files), private, *files, together]
        made.append([name, _mean(one.seconds for one in figures), *(number / MB for number in bytes_)])
    return made


def _mean(numbers: Iterable[float]) -> float:
    held = list(numbers)
    return sum(held) / len(held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="as of `asapbench run`")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2], help="workers side by side")
    parser.add_argument("--stages", type=int, default=len(STAGES), help="of the table; the later ones take an epoch")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--train-size", type=int, help="train on the first N images; the default is all")
    parser.add_argument("--width", type=int, default=12)
    parser.add_argument("--rule", default="asap")
    given = parser.parse_args()
    size = f", train_size = {given.train_size}" if given.train_size else ""
    dataset = f'{{ name = "{given.dataset}"{size} }}'
    (cell,) = parse(SUITE.format(dataset=dataset, width=given.width, rule=given.rule), source="memory").cells
    print(f"{cell.label}, batch 128; {' '.join(platform.libc_ver())}; "
          f"{conditions(1, figures='wall time and MB of 10^6 bytes')}")  # fmt: skip
    head = ["", "s", "peak", "resident", "private", "libraries' files", "images' file", "together"]
    for slots in given.slots:
        with tempfile.TemporaryDirectory() as folder:
            found = watched(cell, slots, stages=given.stages, data=data_root(given.data), folder=Path(folder))
        print(f"\n{slots} {'worker' if slots == 1 else 'workers'}\n")
        print(tabulate(rows(found), head, floatfmt=("", ".2f", *[".0f"] * 6), tablefmt="github"))


if __name__ == "__main__":
    main()
