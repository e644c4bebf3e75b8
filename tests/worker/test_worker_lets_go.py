"""When a cell has ended, its worker holds nothing of it: the next one's memory is all there."""

from __future__ import annotations

import gc
import io
import weakref
from pathlib import Path

import pytest
from torch import nn

from asapbench.errors import GraphError
from asapbench.suite.load import parse
from asapbench.training.settings import TrainingSettings
from asapbench.worker import main
from asapbench.worker.protocol import Train

SUITE = """
[suite]
name = "tiny"
[[grid]]
dataset = { name = "digits", train_size = 32 }
model = { name = "resnet10", width = 2 }
rule = "asap"
lr = 0.03
epochs = 1
batch_size = 16
"""


@pytest.mark.parametrize("state", ["done", "failed", "out_of_memory"])
def test_no_weight_outlives_its_cell(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[nn.Parameter]] = []
    really = main.Trainer.fit

    def fit(trainer: main.Trainer) -> str:
        made.extend(weakref.ref(parameter) for parameter in trainer.state.learner.parameters())
        if state == "failed":
            raise RuntimeError("as asked")
        if state == "out_of_memory":
            raise GraphError("fc: does not fit") from RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return really(trainer)

    monkeypatch.setattr(main.Trainer, "fit", fit)
    released: list[str] = []
    monkeypatch.setattr(main, "release_memory", lambda device: released.append(device.type))
    (cell,) = parse(SUITE, source="tiny.toml").cells
    command = Train(
        attempt="a", cell=cell.to_json(), directory=str(tmp_path), previous=[], data=str(tmp_path), weights=None,
        settings=TrainingSettings(device="cpu"),
    )  # fmt: skip
    gc.disable()
    try:
        ended = main._attempt(command, main.Channel(io.StringIO()), frozenset())
        left = [weight for weight in made if weight() is not None]
    finally:
        gc.enable()
    assert ended.state == state, ended.error
    assert len(made) > 30
    assert not left
    assert released == (["cpu"] if state == "done" else []), "an error may have left a GPU on which every call raises"
