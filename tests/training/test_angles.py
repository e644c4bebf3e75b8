"""Angles are measured when asked for, survive any interruption, and change no bit of the training."""

import math
import random

import numpy as np
import pytest
import torch
from tiny_cell import Recorder, bits, cell, in_precisions, same_bits, trainer
from torch import nn

from asapbench.metrics import WHOLE_NETWORK, Alignment, GradientQuality
from asapbench.rules import attach
from asapbench.training.alignment import alignment, degrees


def whole(which, images, directory, **options):
    recorder = Recorder()
    run = trainer(which, images, directory, recorder, **options)
    assert run.fit() == "done"
    return recorder, bits(run) | {
        f"optimizer.{number}.{name}": value.clone()
        for number, state in run.state.optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


@pytest.mark.parametrize(("rule", "precision"), in_precisions("float32", "bf16"))
def test_asking_for_angles_and_gradient_quality_changes_no_bit_of_the_training(
    rule, precision, images, tmp_path
) -> None:
    which = cell(rule, precision=precision, epochs=1)
    plain, expected = whole(which, images, tmp_path / "without")
    asked, found = whole(which, images, tmp_path / "with", alignment=True, gradient_quality=True)
    assert same_bits(expected, found)
    assert all(a.same_result(b) for a, b in zip(plain.rows, asked.rows, strict=True))
    assert plain.angles == []
    assert {type(row) for row in asked.angles} == {Alignment, GradientQuality}
    assert {(row.epoch, row.layer) for row in asked.angles} >= {(epoch, WHOLE_NETWORK) for epoch in range(2)}


def test_measuring_leaves_gradients_modes_statistics_and_random_streams_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 10))
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6)
    learner = attach(model, "kp", x)
    learner.backward(x, y)
    model[1].eval()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert len(alignment(learner, x, y, epoch=0, precision="float32")) == 3
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert all(torch.equal(p.grad, gradients[name]) for name, p in model.named_parameters())
    assert [module.training for module in model] == [True, False, True, True, True]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


def test_every_trained_layer_has_an_angle_before_training_and_after_each_epoch(images, tmp_path) -> None:
    recorder, _ = whole(cell("asap"), images, tmp_path, alignment=True)
    updates = [(row.epoch, row.layer) for row in recorder.angles if row.quantity == "update"]
    weights = [(row.epoch, row.layer) for row in recorder.angles if row.quantity == "weights"]
    layers = [layer for epoch, layer in updates if epoch == 0]
    assert layers[:3] == ["stages.0.0.conv1", "stages.0.0.conv2", "stages.1.0.conv1"]
    assert layers[-1] == "fc"
    assert len(layers) == 12
    assert updates == [(epoch, layer) for epoch in range(4) for layer in layers]
    assert weights == updates, "the stem has no B and is not trained"
    exact = [row.degrees for row in recorder.angles if (row.layer, row.quantity) == ("fc", "update")]
    assert exact == [0.0] * 4, "the last layer has its own input and the exact error"
    assert sum(0 < row.degrees < 180 for row in recorder.angles) == len(recorder.angles) - 4
    assert all(row.degrees > 45 for row in recorder.angles if row.epoch == 0 and row.quantity == "weights")


def test_backpropagation_is_at_no_angle_to_itself(images, tmp_path) -> None:
    recorder, _ = whole(cell("bp"), images, tmp_path, alignment=True)
    assert {row.quantity for row in recorder.angles} == {"update"}
    assert {row.degrees for row in recorder.angles} == {0.0}


@pytest.mark.parametrize("stops", [[1], [2, 2, 1], [3, 1], [5], [7, 2]])
def test_angles_survive_interruptions(stops, images, tmp_path) -> None:
    expected, weights = whole(cell(), images, tmp_path / "whole", alignment=True)
    previous = []
    for number, stop in enumerate([*stops, None]):
        recorder, directory = Recorder(stop), tmp_path / str(number)
        run = trainer(cell(), images, directory, recorder, previous=previous, alignment=True)
        assert run.fit() == ("done" if stop is None else "interrupted")
        previous.append(directory)
    assert recorder.angles == expected.angles
    assert same_bits(bits(run), {name: weights[name] for name in bits(run)})


def test_only_epochs_for_which_it_was_asked_have_angles(images, tmp_path) -> None:
    first, second, third = Recorder(5), Recorder(4), Recorder()
    trainer(cell(), images, tmp_path / "a", first).fit()
    trainer(cell(), images, tmp_path / "b", second, previous=[tmp_path / "a"], alignment=True).fit()
    trainer(cell(), images, tmp_path / "c", third, previous=[tmp_path / "b"]).fit()
    assert [[row.epoch for row in recorder.rows] for recorder in (first, second, third)] == [[1], [2], [3]]
    assert first.angles == []
    assert {row.epoch for row in second.angles} == {2}
    assert third.angles == second.angles


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 0.0], [0.0, 3.0], 90.0),
        ([2.0, 2.0], [5.0, 0.0], 45.0),
        ([1.0, -2.0], [-3.0, 6.0], 180.0),
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 0.0], [1.0, 1e-9], math.degrees(1e-9)),
    ],
)
def test_the_angle_between_two_vectors(one, other, expected) -> None:
    found = degrees(torch.tensor(one, dtype=torch.float64), torch.tensor(other, dtype=torch.float64))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize("other", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_a_vector_without_a_direction_has_no_angle(other) -> None:
    assert degrees(torch.tensor([1.0, 1.0]), torch.tensor(other)) is None


def test_a_weight_that_the_rule_gives_no_gradient_has_no_angle() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))
    learner = attach(model, "bp", torch.randn(2, 1, 2, 2))
    with torch.no_grad():
        model[1].weight.zero_()
    rows = alignment(learner, torch.zeros(2, 1, 2, 2), torch.arange(2), epoch=3, precision="float32")
    assert rows == [Alignment(3, "1", "update", None)]


def test_forward_alignment_compares_each_layer_with_its_c(images, tmp_path) -> None:
    recorder, _ = whole(cell("forward_alignment"), images, tmp_path, alignment=True)
    assert {row.layer for row in recorder.angles if row.quantity == "weights"} == {"hidden.0", "hidden.3"}
    assert {row.layer for row in recorder.angles if row.quantity == "update"} == {"hidden.0", "hidden.3", "fc"}
    assert all(45 < row.degrees < 135 for row in recorder.angles if row.epoch == 0 and row.quantity == "weights")
