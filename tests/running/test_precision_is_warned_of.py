"""bf16 on a processor without bf16 instructions is slow: a run says so once, whatever the number of cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, Quiet, make_runner

from asapbench.analysis.speed import bench as bench_module
from asapbench.analysis.speed.bench import Bench, bench
from asapbench.machine.slots import Slot
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.training.settings import TrainingSettings
from asapbench.worker.protocol import Ready
from asapbench.worker.supervision import WorkerEvent

CELLS = [replace(cell, precision="bf16") for cell in load("quickstart").cells[:3]]


class On(FakeExecutor):
    """Workers on a processor with these instruction sets."""

    def __init__(self, instruction_sets: str, device: str) -> None:
        super().__init__([Slot(0, device), Slot(1, device)], self.finish)
        self.hardware = {"instruction_sets": instruction_sets}

    def start(self, slot: Slot, inbox) -> FakeWorker:
        worker = super().start(slot, inbox)
        inbox.put(WorkerEvent(worker, Ready(versions={}, hardware=self.hardware)))
        return worker

    @staticmethod
    def finish(worker: FakeWorker, cell: Cell) -> None:
        worker.finish_epoch(1)
        worker.end("done")


@pytest.mark.parametrize(
    ("instruction_sets", "device", "said"),
    [
        ("avx2 fma", "cpu", 1),
        ("amx_bf16 avx2", "cpu", 0),
        ("asimd bf16", "cpu", 0),
        ("avx2 fma", "cuda", 0),
        ("", "cpu", 0),
    ],
)
def test_a_run_says_it_once(instruction_sets: str, device: str, said: int, tmp_path: Path) -> None:
    view = Quiet()
    with Store.open(f"sqlite:///{tmp_path}/test.sqlite") as store:
        make_runner(store, CELLS, On(instruction_sets, device), tmp_path, view=view).run()
    assert sum("no bf16 instructions" in message for message in view.messages) == said


def test_a_run_in_float32_says_nothing(tmp_path: Path) -> None:
    view = Quiet()
    with Store.open(f"sqlite:///{tmp_path}/test.sqlite") as store:
        make_runner(store, load("quickstart").cells[:2], On("avx2", "cpu"), tmp_path, view=view).run()
    assert view.messages == []


def test_a_measurement_of_speed_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "instruction_sets", lambda: "avx2")
    said: list[str] = []

    def stop(text: str) -> None:
        said.append(text)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(CELLS, Bench(training=TrainingSettings(device="cpu")), say=stop)
    assert "no bf16 instructions" in said[0]
