"""Product feedback alignment: the error through B R with B fixed, and R learned as its own program learns it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.rules import Learner, attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.training.alignment import degrees


def learner_of(expansion: int) -> tuple[Learner, Tensor, Tensor]:
    model = build(MODELS["resnet10"].choose({"width": 8}), channels=3, size=8, classes=10)
    initialise(model, 1)
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(16, 3, 8, 8, generator=draw), torch.randint(10, (16,), generator=draw)
    return attach(model, RULES["pfa"].choose({"expansion": expansion}), x, seed=2), x, y


@pytest.mark.parametrize("expansion", [1, 10])
def test_b_times_its_transpose_is_the_identity_on_average(expansion: int) -> None:
    learner, *_ = learner_of(expansion)
    for name, fixed in learner.fixed_feedback():
        product = fixed[0] @ fixed[0].T
        assert product.diagonal().mean().item() == pytest.approx(1, abs=0.25), name
        off = product - torch.diag(product.diagonal())
        assert abs(off.mean().item()) < 0.1


def test_with_the_identity_for_b_it_is_kolen_pollack() -> None:
    learner, x, y = learner_of(1)
    for _, fixed in learner.fixed_feedback():
        fixed.copy_(torch.eye(fixed.shape[1]))
    learner.backward(x, y)
    learned = dict(learner.learned_beside())
    for name, weight, b in learner.feedback_pairs():
        torch.testing.assert_close(b, learned[f"feedback.{name}"])
        torch.testing.assert_close(learned[f"feedback.{name}"].grad, weight.grad)


def test_weight_decay_turns_w_towards_the_product_and_more_units_bring_it_nearer() -> None:
    """Under decay alone, W and R forget their draws: what is left of W is sum dW, of B R it is B B^T sum dW."""
    draw, found = torch.Generator().manual_seed(1), {}
    x, y = torch.randn(64, 12, generator=draw), torch.randint(10, (64,), generator=draw)
    for expansion in (1, 10):
        model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 10))
        initialise(model, 1)
        learner = attach(model, RULES["pfa"].choose({"expansion": expansion}), x, seed=2)
        optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.5, weight_decay=0.03)
        for _ in range(150):
            optimizer.zero_grad()
            learner.backward(x, y)
            optimizer.step()
        angles = [degrees(weight, b) or 0.0 for _, weight, b in learner.feedback_pairs()]
        found[expansion] = sum(angles) / len(angles)
    assert found[10] < 25
    assert found[10] + 10 < found[1] < 60


def test_a_learned_factor_is_never_held_as_a_recursion() -> None:
    learner, *_ = learner_of(1)
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1)
    assert "product" in (learner.bind(optimizer) or "")
    assert len(list(learner.learned_beside())) == len(list(learner.feedback_pairs()))


def test_the_first_layer_and_one_alone_have_no_units_between() -> None:
    learner = attach(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), "pfa", torch.zeros(2, 3))
    assert [name for name, _ in learner.learned_beside()] == ["feedback.1"]
    assert dict(learner.learned_beside())["feedback.1"].shape == (20, 4)
