"""Norm ratios, effective ranks and decrease shares are what their definitions say, by hand and in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asapbench.metrics import GradientQuality
from asapbench.rules import attach
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.suite.catalog import RULES
from asapbench.training.gradient_quality import effective_rank, gradient_quality

CLASSES = 10


def measured(learner: Learner, x: Tensor, y: Tensor, *, rate: float = 0.01) -> dict[str, GradientQuality]:
    rows = gradient_quality(learner, x, y, epoch=3, precision="float32", rate=rate)
    assert {row.epoch for row in rows} == {3}
    return {row.layer: row for row in rows}


def images(count: int = 24, *, size: int = 4, seed: int = 1) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 3, size, size, generator=stream, dtype=torch.float64)
    return x, torch.arange(count) % CLASSES


def network(*layers: nn.Module) -> nn.Sequential:
    torch.manual_seed(2)
    found = nn.Sequential(*layers).double()
    for layer in found:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.reset_parameters()
    return found


def rank_by_numpy(matrix: np.ndarray) -> float:
    values = np.linalg.svd(matrix, compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


# Effective rank


@pytest.mark.parametrize("shape", [(7, 40), (40, 7), (12, 12), (1, 9)])
def test_the_effective_rank_is_that_of_numpy(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(3).normal(size=shape) * np.geomspace(1, 1e-3, shape[1])
    assert float(effective_rank(torch.from_numpy(matrix))) == pytest.approx(rank_by_numpy(matrix), rel=1e-12)


def test_two_equal_directions_are_two_and_a_smaller_one_counts_for_less() -> None:
    assert float(effective_rank(torch.diag(torch.tensor([3.0, 3.0, 0.0])))) == pytest.approx(2)
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert float(effective_rank(torch.diag(torch.tensor([3.0, 1.0])))) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_a_matrix_of_no_direction_has_no_rank(value: float) -> None:
    assert math.isnan(float(effective_rank(torch.full((3, 4), value))))


def test_a_rank_keeps_its_scale_in_half_precision() -> None:
    matrix = torch.randn(6, 30, generator=torch.Generator().manual_seed(4))
    assert float(effective_rank((matrix * 1e-6).bfloat16())) == pytest.approx(float(effective_rank(matrix)), rel=0.01)


# Error signals


@pytest.mark.parametrize("in_place", [False, True])
def test_the_error_signals_of_feedback_alignment_are_those_worked_out_by_hand(in_place: bool) -> None:
    model = network(nn.Flatten(), nn.Linear(48, 20), nn.ReLU(in_place), nn.Linear(20, CLASSES))
    x, y = images()
    learner = attach(model, RULES["fa"].choose(), x, seed=5)
    found = measured(learner, x, y)
    first, second = (model[place].weight.detach().numpy() for place in (1, 3))
    biases = [model[place].bias.detach().numpy() for place in (1, 3)]
    feedback = {name: b.detach().numpy() for name, _, b in learner.feedback_pairs()}["3"]
    before = x.flatten(1).numpy() @ first.T + biases[0]
    logits = np.maximum(before, 0) @ second.T + biases[1]
    e = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - np.eye(CLASSES)[y.numpy()]
    assert found["3"].effective_rank == pytest.approx(rank_by_numpy(e), rel=1e-9)
    assert found["1"].effective_rank == pytest.approx(rank_by_numpy((e @ feedback) * (before > 0)), rel=1e-9)
    assert found["1"].bp_effective_rank == pytest.approx(rank_by_numpy((e @ second) * (before > 0)), rel=1e-9)
    gradients = [((e @ back) * (before > 0)).T @ x.flatten(1).numpy() for back in (feedback, second)]
    norms = [np.linalg.norm(gradient) for gradient in gradients]
    assert found["1"].norm_ratio == pytest.approx(norms[0] / norms[1], rel=1e-9)


def test_a_convolutions_error_signal_has_a_row_for_each_example() -> None:
    model = network(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(20, CLASSES))
    x, y = images(8)
    learner = attach(model, "bp", x)
    output = model[0](x)
    (error,) = torch.autograd.grad(learner.criterion(model[2](output.flatten(1)), y), output)
    assert measured(learner, x, y)["0"].effective_rank == pytest.approx(rank_by_numpy(error.flatten(1).numpy()))


def test_direct_feedback_alignment_has_no_more_directions_than_classes() -> None:
    model = network(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    with torch.no_grad():
        for place in (1, 3):  # every unit is active: no mask changes the projected error
            model[place].bias.fill_(100)
    x, y = images(48)
    found = measured(attach(model, RULES["dfa"].choose(), x, seed=5), x, y)
    for layer in ("1", "3"):
        # The errors of softmax sum to zero over the classes.
        assert 1 < found[layer].effective_rank <= CLASSES - 1


# Decreases


class Given(Learner):
    """A learner whose gradient is what the test says."""

    def __init__(self, model: nn.Module, gradients: dict[str, Tensor]) -> None:
        from asapbench.rules.engine.program import plain

        super().__init__(model, plain(model), {})
        self.gradients = gradients

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        parameters = dict(self.model.named_parameters())
        scalar = sum((parameters[name] * gradient).sum() for name, gradient in self.gradients.items())
        return Objective(scalar, scalar.detach(), self.model(x).detach())


def squares(logits: Tensor, y: Tensor) -> Tensor:
    """Half the squared distance to the one-hot label, mean over the batch."""
    return 0.5 * (logits - torch.eye(CLASSES, dtype=logits.dtype)[y]).square().sum(1).mean()


def test_the_decrease_share_of_a_linear_network_is_the_closed_form() -> None:
    model = network(nn.Flatten(), nn.Linear(48, CLASSES, bias=False))
    x, y = images()
    given = torch.randn(CLASSES, 48, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    learner = Given(model, {"1.weight": given})
    learner.use_criterion(squares)
    rate = 0.02
    found = measured(learner, x, y, rate=rate)
    inputs, weight = x.flatten(1).numpy(), model[1].weight.detach().numpy()
    g = (inputs @ weight.T - np.eye(CLASSES)[y.numpy()]).T @ inputs / len(inputs)

    def decrease(step: np.ndarray) -> float:
        """Of a quadratic loss: rate <g, step> - rate^2 / 2 mean |step x|^2."""
        return rate * (g * step).sum() - 0.5 * rate**2 * ((inputs @ step.T) ** 2).sum(1).mean()

    expected = decrease(given.numpy()) / decrease(g)
    assert expected < -0.1, "a random direction with the curvature against it"
    assert found["1"].decrease_share == pytest.approx(expected, rel=1e-9)
    assert found[""].decrease_share == pytest.approx(expected, rel=1e-9)
    assert found[""].norm_ratio == pytest.approx(np.linalg.norm(given.numpy()) / np.linalg.norm(g), rel=1e-9)
    assert found["1"].effective_rank is None, "no error arrives at the layer"


def test_the_whole_network_moves_every_layer_and_a_row_of_a_layer_that_layer_alone() -> None:
    model = network(nn.Flatten(), nn.Linear(48, 6, bias=False), nn.Linear(6, CLASSES, bias=False))
    x, y = images()
    learner = attach(model, RULES["fa"].choose(), x, seed=5)
    learner.use_criterion(squares)
    rate = 0.01
    found = measured(learner, x, y, rate=rate)
    first, second = (model[place].weight.detach().numpy() for place in (1, 2))
    feedback = {name: b.detach().numpy() for name, _, b in learner.feedback_pairs()}["2"]
    inputs, target = x.flatten(1).numpy(), np.eye(CLASSES)[y.numpy()]

    def loss(u: np.ndarray, v: np.ndarray) -> float:
        return 0.5 * ((inputs @ u.T @ v.T - target) ** 2).sum(1).mean()

    error = (inputs @ first.T @ second.T - target) / len(inputs)
    of_second = error.T @ (inputs @ first.T)
    before, shares = loss(first, second), {}
    ours, exact = ((error @ back).T @ inputs for back in (feedback, second))
    shares["1"] = [loss(first - rate * step, second) for step in (ours, exact)]
    shares[""] = [loss(first - rate * step, second - rate * of_second) for step in (ours, exact)]
    for layer, (after, of_bp) in shares.items():
        assert found[layer].decrease_share == pytest.approx((before - after) / (before - of_bp), rel=1e-9), layer
    assert found["2"].decrease_share == 1


def test_a_random_gradient_of_the_same_size_decreases_the_loss_by_next_to_nothing() -> None:
    model = network(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    x, y = images(64)
    exact = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), list(model.parameters()))
    stream, shares = torch.Generator().manual_seed(7), []
    for _ in range(10):
        drawn = [torch.randn(g.shape, generator=stream, dtype=torch.float64) for g in exact]
        names = [name for name, _ in model.named_parameters()]
        given = {name: d * (g.norm() / d.norm()) for name, d, g in zip(names, drawn, exact, strict=True)}
        found = measured(Given(model, given), x, y, rate=1e-3)
        assert found["1"].norm_ratio == pytest.approx(1)
        shares += [found[layer].decrease_share for layer in ("1", "3")]
    assert abs(np.mean(shares)) < 0.05
    assert min(shares) < 0


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_backpropagation_is_as_good_as_itself(dropout: float) -> None:
    model = network(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(),
        nn.Linear(64, CLASSES),
    ).float()  # fmt: skip
    x, y = images()
    for row in measured(attach(model, "bp", x.float()), x.float(), y).values():
        assert (row.norm_ratio, row.decrease_share) == (1, 1)
        assert row.effective_rank == row.bp_effective_rank


@pytest.mark.parametrize("rate", [0.0, 1e4])
def test_where_backpropagation_does_not_decrease_the_loss_there_is_no_share(rate: float) -> None:
    x, y = images()
    model = network(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, CLASSES))
    found = measured(attach(model, "fa", x), x, y, rate=rate)
    assert {row.decrease_share for row in found.values()} == {None}
    assert all(row.norm_ratio is not None for row in found.values())


def test_a_gradient_of_zero_has_no_ratio() -> None:
    model = network(nn.Flatten(), nn.Linear(4, 10))
    learner = attach(model, "bp", torch.randn(2, 1, 2, 2, dtype=torch.float64))
    found = measured(learner, torch.zeros(2, 1, 2, 2, dtype=torch.float64), torch.arange(2))
    assert found["1"] == GradientQuality(3, "1", None, found["1"].effective_rank, found["1"].effective_rank, None)
