"""A checkpoint that was written on a GPU resumes on a CPU, and the other way round: only the memory order differs.

On a GPU weights lie in channels-last order, on a CPU that has no oneDNN in contiguous order. Here the order is changed
on the CPU.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_cell import Recorder, cell, trainer

from asapbench.suite.catalog import OPTIMIZERS, RULES
from asapbench.training import trainer as trainer_module
from asapbench.training.saved import Saved
from asapbench.training.trainer import Trainer

ORDERS = {"gpu": torch.channels_last, "cpu": torch.contiguous_format}
RECIPES = {
    "sgd": {},
    "nesterov": {"optimizer": OPTIMIZERS["sgd"].choose({"nesterov": True})},
    "no momentum": {"optimizer": OPTIMIZERS["sgd"].choose({"momentum": 0.0})},
    "adam": {"optimizer": OPTIMIZERS["adam"].choose(), "lr": 5e-3},
    "adamw": {"optimizer": OPTIMIZERS["adamw"].choose(), "lr": 5e-3},
    "explicit feedback": {"rule": RULES["asap"].choose({"form": "explicit"})},
    "heads": {"rule": RULES["dgl"].choose()},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("written", "resumed"), [("gpu", "cpu"), ("cpu", "gpu")])
def test_a_checkpoint_resumes_in_another_memory_order(
    written: str, resumed: str, recipe: str, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = replace(cell("asap", epochs=2), **RECIPES[recipe])

    def made(order: str, name: str, stop: int | None = None, previous: tuple[str, ...] = ()) -> Trainer:
        monkeypatch.setattr(trainer_module, "memory_format", lambda _device: ORDERS[order])
        monkeypatch.setattr(Saved, "memory_format", lambda _saved, _device: ORDERS[order])
        recorder, before = Recorder(stop), [tmp_path / one for one in previous]
        return trainer(which, images, tmp_path / name, recorder, previous=before)

    whole = made(written, "whole")
    whole.fit()
    part = made(written, "part", stop=3)
    part.fit()
    rest = made(resumed, "rest", previous=("part",))
    for (ours, held), (theirs, kept) in zip(
        rest.state.optimizer.state.items(), part.state.optimizer.state.items(), strict=True
    ):
        assert torch.equal(ours, theirs)
        for name in kept:
            assert torch.equal(held[name], kept[name]), name
            assert held[name].stride() in (ours.stride(), ()), name
    rest.fit()
    expected, found = whole.progress.history[1], rest.progress.history[1]
    assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-3)
    assert found.test_loss == pytest.approx(expected.test_loss, rel=1e-2)
