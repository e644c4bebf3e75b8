"""Weight mirrors: noise turns B towards W between the training steps, and nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.rules import Learner, attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.training.alignment import degrees


def learner_of(size: int = 8, **options: float) -> tuple[Learner, Tensor, Tensor]:
    model = build(MODELS["resnet10"].choose({"width": 4}), channels=3, size=size, classes=10)
    initialise(model, 1)
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(8, 3, size, size, generator=draw), torch.randint(10, (8,), generator=draw)
    return attach(model, RULES["weight_mirror"].choose(options), x, seed=2), x, y


def feedback(learner: Learner) -> dict[str, Tensor]:
    return {name: b.clone() for name, _, b in learner.feedback_pairs()}


def angles(learner: Learner) -> list[float]:
    return [degrees(weight, b) or 0.0 for _, weight, b in learner.feedback_pairs()]


def test_b_turns_to_w_and_takes_its_size() -> None:
    """The last maps are 1x1, where zeros in the padding would mirror nothing but a kernel's centre."""
    learner, *_ = learner_of(decay=0.05, eta=5.0)
    assert min(angles(learner)) > 70
    for _ in range(100):
        learner.begin_step()
    assert max(angles(learner)) < 20
    for name, weight, b in learner.feedback_pairs():
        assert (b.norm() / weight.norm()).item() == pytest.approx(1, abs=0.1), name


@pytest.mark.parametrize(("amplitude", "eta", "ratio"), [(0.2, 5.0, 4.0), (0.1, 2.5, 0.5)])
def test_amplitude_and_rate_set_the_size(amplitude: float, eta: float, ratio: float) -> None:
    learner, *_ = learner_of(decay=0.05, amplitude=amplitude, eta=eta)
    for _ in range(100):
        learner.begin_step()
    for name, weight, b in learner.feedback_pairs():
        assert (b.norm() / weight.norm()).item() == pytest.approx(ratio, rel=0.1), name


def test_mirroring_changes_b_alone() -> None:
    learner, x, y = learner_of()
    learner.backward(x, y)
    before, drawn = copy.deepcopy(learner.model.state_dict()), feedback(learner)
    grads = {name: p.grad.clone() for name, p in learner.model.named_parameters()}
    learner.begin_step()
    assert all(torch.equal(value, before[key]) for key, value in learner.model.state_dict().items())
    assert all(torch.equal(p.grad, grads[name]) for name, p in learner.model.named_parameters())
    assert not any(torch.equal(b, drawn[name]) for name, b in feedback(learner).items())


def test_the_objective_alone_leaves_b_as_it_is() -> None:
    learner, x, y = learner_of()
    learner.begin_step()
    before = feedback(learner)
    learner.objective(x, y)
    assert all(torch.equal(b, before[name]) for name, b in feedback(learner).items())


def test_the_optimizer_does_not_get_b() -> None:
    learner, *_ = learner_of()
    assert {id(p) for _, p in learner.trained_parameters()} == {id(p) for p in learner.model.parameters()}


def test_mirror_steps_of_one_training_step_use_different_noise() -> None:
    twice, once = learner_of(mirror_steps=2)[0], learner_of()[0]
    twice.begin_step()
    once.begin_step()
    assert not any(torch.equal(b, feedback(twice)[name]) for name, b in feedback(once).items())
    once.begin_step()
    assert all(torch.equal(b, feedback(twice)[name]) for name, b in feedback(once).items())


def test_a_restored_learner_mirrors_with_the_noise_of_its_step() -> None:
    learner, *_ = learner_of()
    for _ in range(3):
        learner.begin_step()
    resumed, *_ = learner_of()
    resumed.load_rule_state(copy.deepcopy(learner.rule_state()))
    for one in (learner, resumed):
        one.begin_step()
    assert all(torch.equal(b, feedback(resumed)[name]) for name, b in feedback(learner).items())


def test_b_comes_within_a_few_degrees_of_w_whatever_the_convolution() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2),
        nn.Conv2d(6, 6, (1, 3), stride=(3, 1), padding=(0, 1)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    choice = RULES["weight_mirror"].choose({"decay": 0.05, "eta": 5.0, "noise_batch": 512})
    learner = attach(model, choice, torch.zeros(2, 3, 9, 11), seed=1)
    for _ in range(100):
        learner.begin_step()
    assert len(angles(learner)) == 3
    assert max(angles(learner)) < 6
