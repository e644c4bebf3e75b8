"""Sign-symmetry: sizes that are one number, drawn once or drawn for every batch, and the signs of W as they are now."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.rules import Learner, attach
from asapbench.suite.catalog import MODELS, RULES

VARIANTS = ("usf", "brsf", "frsf")


def learner_of(variant: str, *, seed: int = 2) -> tuple[Learner, Tensor, Tensor]:
    model = build(MODELS["resnet10"].choose({"width": 4}), channels=3, size=12, classes=10)
    initialise(model, 1)
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(8, 3, 12, 12, generator=draw), torch.randint(10, (8,), generator=draw)
    return attach(model, RULES["sign_symmetry"].choose({"variant": variant}), x, seed), x, y


def feedback(learner: Learner) -> dict[str, Tensor]:
    return {name: b.clone() for name, _, b in learner.feedback_pairs()}


def differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[bool]:
    return {not torch.equal(one[name], other[name]) for name in one}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_signs_are_those_that_the_weights_have_now(variant: str) -> None:
    learner, x, y = learner_of(variant)
    before = feedback(learner)
    with torch.no_grad():
        for _, weight, _ in learner.feedback_pairs():
            weight.neg_()
            weight.flatten()[0] = 0
    for name, weight, b in learner.feedback_pairs():
        assert torch.equal(b.sign(), weight.sign())
        assert b.flatten()[0] == 0
        assert torch.equal(b.flatten()[1:], -before[name].flatten()[1:])
    learner.backward(x, y)


def test_usf_is_backpropagation_where_all_weights_have_its_size() -> None:
    learner, x, y = learner_of("usf")
    with torch.no_grad():
        for _, weight, _ in learner.feedback_pairs():
            weight.sign_().div_(math.sqrt(3 * weight[0].numel()))
    learner.backward(x, y)
    found = {name: p.grad.clone() for name, p in learner.model.named_parameters()}
    learner.zero_grad()
    F.cross_entropy(learner.model(x), y).backward()
    for name, p in learner.model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, rtol=1e-4, atol=1e-5)


def test_sizes_drawn_for_each_weight_have_the_initial_distribution() -> None:
    for variant in ("brsf", "frsf"):
        for _, weight, b in learner_of(variant)[0].feedback_pairs():
            bound = 1 / math.sqrt(weight[0].numel())
            assert b.abs().max() <= bound
            if b.numel() > 500:
                assert b.abs().mean().item() == pytest.approx(bound / 2, rel=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_brsf_draws_again_and_only_when_a_step_begins(variant: str) -> None:
    learner, x, y = learner_of(variant)
    learner.begin_step()
    first = feedback(learner)
    learner.objective(x, y)
    assert differ(first, feedback(learner)) == {False}
    learner.begin_step()
    assert differ(first, feedback(learner)) == {variant == "brsf"}


def test_a_step_draws_the_same_whenever_it_is_reached() -> None:
    learner, *_ = learner_of("brsf")
    for _ in range(3):
        learner.begin_step()
    resumed, *_ = learner_of("brsf")
    resumed.load_rule_state(learner.rule_state())
    assert differ(feedback(learner), feedback(resumed)) == {False}
    learner.begin_step()
    resumed.begin_step()
    assert differ(feedback(learner), feedback(resumed)) == {False}
    other, *_ = learner_of("brsf", seed=3)
    other.load_rule_state(learner.rule_state())
    assert differ(feedback(learner), feedback(other)) == {True}


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_copy_of_a_weight_is_kept_for_backward(variant: str) -> None:
    learner, x, y = learner_of(variant)
    known = {t.untyped_storage().data_ptr() for t in (*learner.parameters(), *learner.buffers())}
    sizes = {weight.shape for _, weight, _ in learner.feedback_pairs()}
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        learner.objective(x, y)
    assert kept
    assert not [tensor.shape for tensor in kept if tensor.shape in sizes and tensor.shape[0] != len(y)]


def test_a_zero_weight_carries_no_error() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    x, y = torch.ones(2, 3), torch.arange(2)
    learner = attach(model, "sign_symmetry", x)
    nn.init.zeros_(model[1].weight)
    learner.backward(x, y)
    assert not model[0].weight.grad.any()
