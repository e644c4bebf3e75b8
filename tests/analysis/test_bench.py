"""`bench` measures real processes: figures that agree, failures told, nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from asapbench.analysis.speed import Benched
from asapbench.analysis.speed import bench as module
from asapbench.analysis.speed.bench import Bench, bench, chosen
from asapbench.analysis.speed.protocol import Count, Counted, Failed, Measure, Measured, Prepare, Prepared
from asapbench.errors import DataError
from asapbench.machine.slots import Slot
from asapbench.suite.catalog import DATASETS
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse
from asapbench.training.settings import TrainingSettings

CPU = TrainingSettings(device="cpu")

SUITE = """
[suite]
name = "small"
[[grid]]
dataset = { name = "digits", train_size = 200 }
model = { name = "resnet10", width = 2 }
lr = { bp = 3e-2, asap = [3e-2, 3e-3] }
batch_size = 16
seeds = [0, 1]
epochs = 2
"""


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    left = [one for one in psutil.Process(os.getpid()).children() if "asapbench.analysis.speed.worker" in one.cmdline()]
    assert left == []


@pytest.fixture
def suite(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SUITE)
    return str(path)


@pytest.fixture
def cell() -> Cell:
    return parse(SUITE, source="small.toml").cells[0]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[module._Process]:
    made = module._Process(Slot(0, "cpu"), tmp_path / "log")
    yield made
    made.close()


def prepare(cell: Cell, **changes: object) -> Prepare:
    given = {"loop": "own", "settings": CPU, "directory": "none", "code": "none", "data": None}
    return Prepare(**(given | {"loader_workers": 0, "cell": cell.to_json()} | changes))


def measured(cells: list[Cell], **changes: object) -> Benched:
    said: list[str] = []
    found = bench(cells, Bench(**({"training": CPU, "rounds": 3, "steps": 2} | changes)), say=said.append)
    assert len(said) == len(cells)
    return found


def test_of_cells_that_cost_the_same_one_is_measured(suite: str) -> None:
    assert [cell.rule.name for cell in chosen([suite, suite], [], [])] == ["bp", "asap"]
    assert len(chosen([suite], ["rule=asap"], [])) == 1
    wider = chosen([suite], ["rule=bp"], ["model.width=3", "precision=bf16"])
    assert [(cell.model.integer("width"), cell.precision) for cell in wider] == [(3, "bf16")]


def test_a_process_trains_the_steps_it_is_asked_for(process: module._Process, cell: Cell) -> None:
    process.send(prepare(cell))
    assert isinstance(process.receive(), Prepared)
    process.send(Measure(steps=5, seconds=1e9))
    answer = process.receive()
    assert isinstance(answer, Measured)
    # After 3 steps from the second batch before the end: 12 of 16 to the end of an epoch follow, so only full ones.
    assert answer.examples == 5 * 16
    assert answer.seconds > 0
    process.send(Measure(steps=None, seconds=0.2))
    answer = process.receive()
    assert isinstance(answer, Measured)
    assert answer.seconds >= 0.2
    process.send(Count())
    assert isinstance(process.receive(), Counted)


def test_a_failure_is_an_answer_and_the_process_continues(process: module._Process, cell: Cell) -> None:
    process.send(prepare(cell, settings=TrainingSettings(device="red")))
    answer = process.receive()
    assert isinstance(answer, Failed)
    assert answer.error.startswith("RuntimeError: ")
    process.send(prepare(replace(cell, dataset=DATASETS["svhn"].choose()), data="nowhere"))
    answer = process.receive()
    assert isinstance(answer, Failed)
    assert "svhn: " in answer.error
    process.send(prepare(cell))
    assert isinstance(process.receive(), Prepared)


def test_a_process_that_dies_is_a_failure(process: module._Process, cell: Cell) -> None:
    process._process.kill()
    process.send(prepare(cell))
    answer = process.receive()
    assert isinstance(answer, Failed)
    assert answer.error == "the process ended with exit status -9"


@pytest.mark.slow
def test_every_loop_has_every_round(cell: Cell) -> None:
    found = measured([cell], slots=2)
    (speed,) = found.speeds
    assert list(speed.loops) == ["own", "together", "eager"]
    assert (speed.slots, speed.kind, found.stopped, found.failed) == (2, "cpu", False, False)
    assert speed.device
    for loop in speed.loops.values():
        assert loop.error is None
        assert len(loop.rounds) == 3
        assert min(loop.rates) > 0
    assert speed.loops["own"].operations == speed.loops["eager"].operations, "the rule is BP"
    together, own = speed.loops["together"].peak_bytes, speed.loops["own"].peak_bytes
    assert together is None or own is None or together > 1.5 * own


def test_without_the_control_and_alone_there_is_one_loop(cell: Cell) -> None:
    (speed,) = measured([cell], eager=False).speeds
    assert list(speed.loops) == ["own"]


@pytest.mark.slow
def test_a_cell_that_fails_costs_the_next_nothing(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = module._Row._prepare_command

    def broken(self: module._Row, name: str) -> Prepare:
        command = whole(self, name)
        return (
            command if self.speed.cell.seed else command.model_copy(update={"settings": TrainingSettings(device="red")})
        )

    monkeypatch.setattr(module._Row, "_prepare_command", broken)
    found = measured([cell, cell.with_seed(1)], rounds=1, eager=False)
    first, second = found.speeds
    assert found.failed
    assert "RuntimeError" in (first.loops["own"].error or "")
    assert first.loops["own"].rounds == ()
    assert len(second.loops["own"].rounds) == 1


@pytest.mark.slow
def test_a_loop_that_fails_leaves_the_others_their_rounds(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = module._Row._prepare_command
    monkeypatch.setattr(
        module._Row,
        "_prepare_command",
        lambda self, name: whole(self, name).model_copy(update={"cell": {}} if name == "eager" else {}),
    )
    found = measured([cell])
    loops = found.speeds[0].loops
    assert not found.failed
    assert "cannot be read" in (loops["eager"].error or "")
    assert (len(loops["own"].rounds), len(loops["eager"].rounds)) == (3, 0)


@pytest.mark.slow
def test_an_interrupt_keeps_what_there_is(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, calls = module._Row._measure, []

    def interrupted(self: module._Row, name: str, processes: list) -> None:
        calls.append(name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        whole(self, name, processes)

    monkeypatch.setattr(module._Row, "_measure", interrupted)
    found = bench([cell, cell], Bench(training=CPU, steps=1), say=lambda _: None)
    assert found.stopped
    (speed,) = found.speeds
    assert [len(loop.rounds) for loop in speed.loops.values()] == [2, 1]


def test_data_that_are_named_must_be_there(cell: Cell, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data prepare mnist"):
        bench([replace(cell, dataset=DATASETS["mnist"].choose())], Bench(data=tmp_path), say=lambda _: None)
