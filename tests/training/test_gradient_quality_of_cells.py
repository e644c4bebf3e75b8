"""`gradient_quality` measures every layer and epoch, survives any interruption, and changes nothing of the model."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from test_angles import whole
from test_angles_are_read_once import Reads
from tiny_cell import Recorder, bits, cell, same_bits, trainer
from torch import nn

from asapbench.metrics import Alignment, GradientQuality
from asapbench.rules import attach
from asapbench.training.gradient_quality import gradient_quality


def qualities(recorder: Recorder) -> list[GradientQuality]:
    return [row for row in recorder.angles if isinstance(row, GradientQuality)]


def test_measuring_leaves_gradients_modes_statistics_hooks_and_random_streams_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10))
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6)
    learner = attach(model, "kp", x)
    learner.backward(x, y)
    model[1].eval()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with Reads() as reads:
        rows = gradient_quality(learner, x, y, epoch=0, precision="float32", rate=0.1)
    assert [row.layer for row in rows] == ["0", "4", ""]
    assert reads.count == 0, "all numbers are read at once"
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(torch.equal(p.grad, gradients[name]) for name, p in model.named_parameters())
    assert [module.training for module in model] == [True, False, True, True, True]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
    assert not any(module._forward_hooks for module in learner.modules())


@pytest.mark.parametrize("stops", [[2, 2, 1], [5]])
def test_measurements_survive_interruptions(stops, images, tmp_path) -> None:
    options = {"alignment": True, "gradient_quality": True}
    expected, weights = whole(cell(), images, tmp_path / "whole", **options)
    previous = []
    for number, stop in enumerate([*stops, None]):
        recorder, directory = Recorder(stop), tmp_path / str(number)
        run = trainer(cell(), images, directory, recorder, previous=previous, **options)
        assert run.fit() == ("done" if stop is None else "interrupted")
        previous.append(directory)
    assert recorder.angles == expected.angles
    assert same_bits(bits(run), {name: weights[name] for name in bits(run)})
    layers = [row.layer for row in qualities(recorder) if row.epoch == 0]
    assert [(row.epoch, row.layer) for row in qualities(recorder)] == [(e, name) for e in range(4) for name in layers]
    updates = [row.layer for row in recorder.angles if isinstance(row, Alignment) and row.quantity == "update"]
    assert layers[:-1] == updates[: len(layers) - 1]


def test_backpropagation_has_ratio_and_share_one_on_every_layer_after_every_epoch(images, tmp_path) -> None:
    recorder, _ = whole(cell("bp"), images, tmp_path, gradient_quality=True)
    assert len(recorder.angles) == 4 * 14
    assert {row.norm_ratio for row in recorder.angles} == {1.0}
    assert {row.decrease_share for row in recorder.angles} <= {1.0, None}
    assert [row.decrease_share for row in recorder.angles if row.layer == "fc"] == [1.0] * 4
    assert all(row.effective_rank == row.bp_effective_rank for row in recorder.angles)


def test_the_step_has_the_learning_rate_of_the_next_epoch(images, tmp_path, monkeypatch) -> None:
    from asapbench.training import trainer as module

    rates = []
    monkeypatch.setattr(module, "gradient_quality", lambda *_, rate, **__: rates.append(rate) or [])
    recorder, _ = whole(cell("bp"), images, tmp_path, gradient_quality=True)
    expected = [row.lr for row in recorder.rows]
    assert rates == [*expected, expected[-1]]
