"""Attaching a rule changes nothing but what it declares, and draws only from the seed."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from subjects import LIGHT, VARIED, batch_of, model_of
from torch import Tensor

from asapbench.rules import Learner, attach, resolve
from asapbench.suite.catalog import RULES

DRAW_NOTHING = ("bp", "as", "phsic", "sign_symmetry")


def feedback_of(learner: Learner) -> dict[str, Tensor]:
    """Everything that a rule draws: feedback weights, fixed tensors, and what local heads start from."""
    pairs = {name: feedback.detach() for name, _, feedback in learner.feedback_pairs()}
    heads = {key: value for key, value in learner.rule_state().items() if key.startswith(("head.", "feedback."))}
    drawn = {key: value for key, value in heads.items() if not torch.equal(value, value.flatten()[0].expand_as(value))}
    return pairs | dict(learner.fixed_feedback()) | drawn


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("rule", "name"), VARIED)
def test_the_model_stays_as_it_was(rule: str, name: str) -> None:
    training = name != "alexnet"
    model = model_of(name, dtype=torch.float32).train(training)
    modules = dict(model.named_modules())
    modules["fc"].train(not training)
    before = copy.deepcopy(model.state_dict())
    modes = {key: module.training for key, module in modules.items()}
    required = {key for key, p in model.named_parameters() if p.requires_grad}
    x = batch_of(name, dtype=torch.float32)[0].clone()
    kept = x.clone()
    attach(model, rule, x, seed=1)
    assert same(before, model.state_dict())
    assert modes == {key: module.training for key, module in model.named_modules()}
    assert modules == dict(model.named_modules())
    assert all(not module._forward_hooks and not module._backward_hooks for module in model.modules())
    released = required - {key for key, p in model.named_parameters() if p.requires_grad}
    assert len(released) == (resolve(rule).declares.stem == "fixed")
    assert torch.equal(x, kept)


@pytest.mark.parametrize(("rule", "name"), LIGHT)
def test_global_random_streams_stay_as_they_were(rule: str, name: str) -> None:
    model, (x, y) = model_of(name), batch_of(name)
    streams = torch.get_rng_state(), np.random.get_state(), random.getstate()
    learner = attach(model, rule, x, seed=1)
    learner.backward(x, y)
    assert torch.equal(streams[0], torch.get_rng_state())
    assert str(streams[1]) == str(np.random.get_state())
    assert streams[2] == random.getstate()


@pytest.mark.parametrize(("rule", "name"), [s for s in LIGHT if s[0] not in DRAW_NOTHING])
def test_feedback_depends_on_the_seed_alone(rule: str, name: str) -> None:
    x, _ = batch_of(name)
    torch.manual_seed(1)
    one = attach(model_of(name), rule, x, seed=1)
    torch.manual_seed(2)
    again = attach(model_of(name, seed=9), rule, torch.zeros_like(x[:2]), seed=1)
    other = attach(model_of(name), rule, x, seed=2)
    assert feedback_of(one)
    assert same(feedback_of(one), feedback_of(again))
    assert one.fixed_digest() == again.fixed_digest()
    different = feedback_of(other)
    assert all(not torch.equal(tensor, different[key]) for key, tensor in feedback_of(one).items())
    if list(one.fixed_feedback()):
        assert one.fixed_digest() != other.fixed_digest()


@pytest.mark.parametrize("rule", ["asap", "as"])
def test_the_kernels_of_random_matching_are_in_the_digest(rule: str) -> None:
    x, _ = batch_of("resnet10")
    choice = RULES[rule].choose({"matching": "random"})
    one, again, other = (attach(model_of("resnet10"), choice, x, seed=seed) for seed in (1, 1, 2))
    names = [key for key, _ in one.fixed_feedback() if key.startswith("matching.")]
    assert len(names) == 7  # c4 to c8 and the last two projections; where the shapes agree there is none
    assert one.fixed_digest() == again.fixed_digest() != other.fixed_digest()


@pytest.mark.parametrize(("rule", "name"), LIGHT)
def test_same_seed_same_bits(rule: str, name: str) -> None:
    x, y = batch_of(name)
    found = []
    for _ in range(2):
        learner = attach(model_of(name), rule, x, seed=1)
        learner.backward(x, y)
        found.append({key: p.grad for key, p in learner.trained_parameters()})
    assert same(*found)


@pytest.mark.parametrize("name", ["alexnet", "resnet10"])
def test_a_layers_feedback_does_not_depend_on_the_rule(name: str) -> None:
    x, _ = batch_of(name)
    by_rule = {rule: attach(model_of(name), rule, x, seed=3) for rule in ("kp", "fa", "asap")}
    pairs = [{key: b.detach() for key, _, b in learner.feedback_pairs()} for learner in by_rule.values()]
    assert same(pairs[0], pairs[1])
    assert same(pairs[0], pairs[2])


@pytest.mark.parametrize(("rule", "name"), LIGHT)
def test_forward_weights_do_not_depend_on_the_rule(rule: str, name: str) -> None:
    x, _ = batch_of(name)
    model = model_of(name)
    attach(model, rule, x, seed=3)
    assert same(dict(model.named_parameters()), dict(model_of(name).named_parameters()))


def test_feedback_is_the_same_in_every_precision() -> None:
    for rule in ("asap", "dfa"):
        single, double = (
            attach(model_of("alexnet", dtype=d), rule, batch_of("alexnet", dtype=d)[0], seed=3)
            for d in (torch.float32, torch.float64)
        )
        rounded = {key: value.float() for key, value in feedback_of(double).items()}
        assert same(feedback_of(single), rounded)


@pytest.mark.parametrize("rule", ["kp", "fa", "asap"])
def test_feedback_can_start_equal_to_the_forward_weights(rule: str) -> None:
    model, (x, _) = model_of("resnet10"), batch_of("resnet10")
    learner = attach(model, resolve(RULES[rule].choose({"feedback_init": "forward"})), x, seed=3)
    for layer, weight, feedback in learner.feedback_pairs():
        assert torch.equal(weight, feedback) == (layer != "fc")
        assert weight.data_ptr() != feedback.data_ptr()


def test_feedback_alignment_can_start_as_backpropagation() -> None:
    model, (x, y) = model_of("alexnet"), batch_of("alexnet")
    choice = RULES["fa"].choose({"feedback_init": "forward", "linear_feedback": "forward"})
    learner = attach(model, resolve(choice), x, seed=3)
    assert {torch.equal(weight, feedback) for _, weight, feedback in learner.feedback_pairs()} == {True}
    learner.backward(x, y)
    plain = model_of("alexnet")
    torch.nn.functional.cross_entropy(plain(x), y).backward()
    for (key, p), q in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-12, msg=key)
    for weight in model.parameters():
        weight.data.add_(1)
    assert not any(torch.equal(weight, feedback) for _, weight, feedback in learner.feedback_pairs())


@pytest.mark.parametrize(("rule", "name"), LIGHT)
def test_a_model_can_be_attached_again(rule: str, name: str) -> None:
    """The model itself is not rewritten: a second rule on it finds the same network."""
    model, (x, y) = model_of(name), batch_of(name)
    attach(model, rule, x, seed=3)
    model.requires_grad_(True)
    learner = attach(model, "bp", x)
    learner.backward(x, y)
    assert all(p.grad is not None for p in model.parameters())
