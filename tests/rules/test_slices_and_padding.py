"""Slices and padding of maps: a shortcut without weights, and either of them on the main path."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.rules import attach
from asapbench.rules.engine.graph import capture
from asapbench.rules.engine.projected_error import ProjectedLearner
from asapbench.suite.catalog import RULES

draw = torch.Generator().manual_seed(0)
X = torch.randn(4, 3, 12, 12, generator=draw, dtype=torch.float64)
Y = torch.randint(3, (4,), generator=draw)
RULE_NAMES = [rule for rule, entry in RULES.items() if entry.needs != "linear"]


class Residual(nn.Module):
    """A stem, two blocks whose shortcuts are sliced and padded, and a padded and sliced main path behind them."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 4), (4, 8), (8, 8), (8, 12), (12, 12), (12, 8))
        self.convs = nn.ModuleList(
            nn.Conv2d(*size, 3, stride=2 if place in (1, 3) else 1, padding=int(place < 5), bias=False)
            for place, size in enumerate(sizes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(size[1]) for size in sizes)
        self.edge = nn.ZeroPad2d(1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norms[0](self.convs[0](x)))
        for first in (1, 3):
            h = self.norms[first + 1](self.convs[first + 1](torch.relu(self.norms[first](self.convs[first](x)))))
            x = torch.relu(h + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1 + first // 3, 3 - first // 3)))
        x = torch.relu(self.norms[5](self.convs[5](self.edge(x))))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x[:, 1:7], 1).flatten(1))
        return logits


def model() -> Residual:
    torch.manual_seed(1)
    return Residual().double()


def test_backpropagation_is_plain_autograd() -> None:
    plain = model()
    attached = copy.deepcopy(plain)
    F.cross_entropy(plain(X), Y).backward()
    attach(attached, "bp", X).backward(X, Y)
    for (name, ours), theirs in zip(attached.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=0, msg=name)


@pytest.mark.parametrize("rule", RULE_NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_every_rule_computes_the_models_logits_and_trains(rule: str, training: bool) -> None:
    plain = model().train(training)
    attached = copy.deepcopy(plain)
    learner = attach(attached, RULES[rule].choose(), X)
    found = learner.backward(X, Y)
    torch.testing.assert_close(found.logits, plain(X).detach(), rtol=1e-12, atol=1e-12)
    assert all(conv.weight.grad is not None for conv in attached.convs[1:])


def test_the_error_passes_the_shortcut_exactly() -> None:
    """With B = W feedback alignment is backpropagation only if the shortcut's error is neither lost nor doubled."""
    plain = model()
    attached = copy.deepcopy(plain)
    learner = attach(attached, "fa", X)
    with torch.no_grad():
        for _, weight, feedback in learner.feedback_pairs():
            feedback.copy_(weight)
    learner.backward(X, Y)
    F.cross_entropy(plain(X), Y).backward()
    for (name, ours), theirs in zip(attached.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14, msg=name)


def test_a_shortcut_without_weights_is_no_layer_and_lies_off_the_main_path() -> None:
    flow = capture(model(), X)
    assert len(flow.main) == 6
    assert not flow.shortcuts
    assert not [node for node in flow.path if node.target is F.pad]


def test_no_error_of_a_later_tap_or_unit_comes_through_the_shortcut() -> None:
    """The stem's gradient stays as it is when everything behind the first block's inner activation changes."""
    for rule in ("dfa", "local_errors"):
        found = []
        for factor in (1.0, 3.0):
            attached = model()
            learner = attach(attached, rule, X)
            assert rule != "dfa" or isinstance(learner, ProjectedLearner)
            with torch.no_grad():
                attached.convs[2].weight.mul_(factor)
                attached.norms[2].bias.add_(factor - 1)
            if rule == "local_errors":
                learner.backward(X, Y)
                found.append(attached.convs[0].weight.grad)
            else:
                logits, entries = learner.program(X)
                error = torch.ones(4, 3, dtype=torch.float64)
                torch.autograd.backward([logits.sum() * 0, *entries], [None, *[error] * len(entries)])
                found.append(attached.convs[0].weight.grad)
        assert found[0].abs().max() > 0
        torch.testing.assert_close(*found, rtol=0, atol=0)
