"""Direct Kolen-Pollack's projections come to estimate the path from their tap to the output."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from asapbench.rules import Learner, attach

INPUTS, CLASSES = 12, 4
WEIGHTS = ("0.weight", "2.weight", "4.weight")


def trained(decay: float, *, ascending: bool = False) -> tuple[list[float], list[float]]:
    """Angles in degrees between each tap's B and the product of the weights behind it, before and after training.

    The network is linear: its activations are identities.
    """
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(INPUTS, 10, bias=False), nn.LeakyReLU(1.0), nn.Linear(10, 8, bias=False), nn.LeakyReLU(1.0),
        nn.Linear(8, CLASSES, bias=False),
    ).double()  # fmt: skip
    x = torch.randn(64, INPUTS, dtype=torch.float64)
    y = (x @ torch.randn(INPUTS, CLASSES, dtype=torch.float64)).argmax(1)
    learner = attach(model, "dkp", x, seed=1)
    before = angles(learner)
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1, weight_decay=decay)
    for _ in range(400):
        optimizer.zero_grad()
        learner.backward(x, y)
        if ascending:
            for _, b in learner.learned_beside():
                assert b.grad is not None
                b.grad.neg_()
        optimizer.step()
    return before, angles(learner)


def angles(learner: Learner) -> list[float]:
    parameters = dict(learner.model.named_parameters())
    path: Tensor | None = None
    found = []
    for weight, (_, b) in zip(reversed(WEIGHTS), reversed(list(learner.learned_beside())), strict=False):
        path = parameters[weight] if path is None else path @ parameters[weight]
        cosine = torch.cosine_similarity(path.flatten(), b.flatten(), dim=0)
        found.append(math.degrees(math.acos(cosine.item())))
    return found[::-1]


def test_each_projection_turns_towards_the_product_of_the_weights_behind_it() -> None:
    before, after = trained(3e-2)
    assert len(after) == 2
    assert all(angle > 75 for angle in before)
    assert all(angle < 30 for angle in after)
    assert after[1] < 15, "the last has the output layer's gradient: weight decay removes all that sets it apart"


def test_the_opposite_sign_turns_them_away() -> None:
    assert min(trained(1e-2, ascending=True)[1]) > 90


def test_the_last_projection_gets_the_output_layers_gradient() -> None:
    model = nn.Sequential(nn.Linear(INPUTS, 8), nn.ReLU(), nn.Linear(8, CLASSES))
    x = torch.randn(16, INPUTS)
    learner = attach(model, "dkp", x)
    learner.backward(x, torch.arange(16) % CLASSES)
    ((_, b),) = learner.learned_beside()
    assert b.grad is not None
    torch.testing.assert_close(b.grad, model[2].weight.grad)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_a_projection_of_maps_gets_the_same_gradient_in_either_order_in_memory(order: torch.memory_format) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
    x, y = torch.randn(5, 3, 6, 6, dtype=torch.float64), torch.arange(5) % CLASSES
    learner = attach(model.double(), "dkp", x).to(memory_format=order)
    x = x.contiguous(memory_format=order)
    objective = learner.backward(x, y)
    ((_, b),) = learner.learned_beside()
    error = (objective.logits.softmax(1) - nn.functional.one_hot(y, CLASSES)) / 5
    tap = model[1](model[0](x)).detach()
    torch.testing.assert_close(b.grad, torch.einsum("nk,nchw->kchw", error, tap))
    assert b.grad is not None
    assert b.grad.is_contiguous(memory_format=order)
