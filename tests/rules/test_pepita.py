"""PEPITA's second pass: what it is given, what it leaves as it was, and where the rule has no error."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.errors import GraphError, SuiteError
from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.load import parse

CLASSES = 4
X = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.arange(6) % CLASSES
CHOICE = RULES["pepita"].choose({"feedback_size": 1.0})


def plain() -> nn.Sequential:
    """The paper's kind of network: no biases, no BatchNorm, a pool behind the activation."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(45, 7, bias=False), nn.ReLU(), nn.Linear(7, CLASSES, bias=False),
    ).double()  # fmt: skip


def test_on_the_papers_network_every_gradient_is_the_papers_formula() -> None:
    model = plain()
    learner = attach(model, CHOICE, X)
    ((_, projection),) = learner.fixed_feedback()
    objective = learner.backward(X, Y)
    error = objective.logits.softmax(1) - F.one_hot(Y, CLASSES)
    disturbed = X + (error @ projection).view_as(X)
    with torch.no_grad():
        before, after = [X], [disturbed]
        for layer in model:
            before.append(layer(before[-1]))
            after.append(layer(after[-1]))
    patches = F.unfold(disturbed, 3)
    change = (before[2] - after[2]).flatten(2)
    convolution = torch.einsum("nop,ncp->oc", change, patches).view_as(model[0].weight) / (6 * 36)
    torch.testing.assert_close(model[0].weight.grad, convolution)
    torch.testing.assert_close(model[4].weight.grad, (before[6] - after[6]).T @ after[4] / 6)
    torch.testing.assert_close(model[6].weight.grad, error.T @ after[6] / 6)


def test_running_statistics_count_the_first_pass_alone() -> None:
    networks = []
    for rule in ("bp", CHOICE):
        model = build(MODELS["resnet10"].choose({"width": 2}), channels=3, size=8, classes=CLASSES)
        initialise(model, 1)
        attach(model.double(), rule, X).backward(X, Y)
        networks.append(model)
    for (name, one), (_, other) in zip(networks[0].named_buffers(), networks[1].named_buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12, msg=name)


def test_both_passes_have_the_same_dropout_masks() -> None:
    """Without a perturbation the passes are one, and nothing but the output layer has a gradient."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, CLASSES)).double()
    learner = attach(model, RULES["pepita"].choose({"feedback_size": 0.0}), X)
    learner.backward(X, Y)
    assert not model[1].weight.grad.any()
    assert model[4].weight.grad.any()
    dropped = [(attach(model, CHOICE, X).objective(X, Y).logits) for _ in range(2)]
    assert not torch.equal(*dropped), "each step has masks of its own"


def test_dropout_behind_an_activation_drops_its_change_too() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, CLASSES)).double()
    learner = attach(model, CHOICE, X)
    ((_, projection),) = learner.fixed_feedback()
    torch.manual_seed(7)
    mask = F.dropout(torch.ones(6, 9, dtype=torch.float64))
    torch.manual_seed(7)
    objective = learner.backward(X, Y)
    error = objective.logits.softmax(1) - F.one_hot(Y, CLASSES)
    disturbed = X.flatten(1) + error @ projection
    before, after = (mask * torch.relu(model[1](inputs)) for inputs in (X.flatten(1), disturbed))
    torch.testing.assert_close(model[1].weight.grad, (before - after).T @ disturbed / 6)
    torch.testing.assert_close(model[4].weight.grad, error.T @ after / 6)


def test_in_evaluation_mode_dropout_drops_nothing() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 9), nn.ReLU(), nn.Dropout(0.5), nn.Linear(9, CLASSES)).double()
    learner = attach(model, CHOICE, X).eval()
    torch.testing.assert_close(learner.objective(X, Y).logits, model(X))


def test_no_error_passes_an_activation() -> None:
    """A layer's gradient knows nothing of the layers behind it, but through the output error."""
    found = []
    for factor in (1.0, 3.0):
        model = plain()
        learner = attach(model, CHOICE, X)
        with torch.no_grad():
            model[4].weight.mul_(factor)
            model[6].weight.div_(factor)  # the logits, and so the error, stay as they were
        learner.backward(X, Y)
        found.append(model[0].weight.grad)
    torch.testing.assert_close(*found)


class Way(nn.Module):
    def __init__(self, way: Callable[[Way, Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way
        self.c0, self.c1, self.c2 = (nn.Conv2d(i, 4, 3, padding=1) for i in (3, 4, 4))
        self.bn, self.fc = nn.BatchNorm2d(4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.way(self, x).mean((2, 3)))
        return logits


REFUSED: dict[str, tuple[Callable[[Way, Tensor], Tensor], str]] = {
    "no activation": (lambda net, x: net.c0(x), "the network has no activation"),
    "two layers": (lambda net, x: torch.relu(net.c1(net.c0(x))), "no activation lies between c0 and c1"),
    "BatchNorm before a layer": (
        lambda net, x: torch.relu(net.c1(net.bn(torch.relu(net.c0(x))))),
        "no activation lies between bn and c1",
    ),
    "none behind the last": (lambda net, x: net.c1(torch.relu(net.c0(x))), "no activation lies between c1 and fc"),
    "two errors": (
        lambda net, x: torch.relu(net.c1(torch.relu(h := net.c0(x))) + h),
        "c0 leads to relu and relu_1 and would have two errors",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_on_which_a_layer_has_no_error_of_its_own_is_refused_by_name(name: str) -> None:
    way, message = REFUSED[name]
    with pytest.raises(GraphError, match=f"^pepita: {re.escape(message)}"):
        attach(Way(way).double(), "pepita", X)


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_precisions_that_round_the_difference_off_are_refused(precision: str) -> None:
    text = '[suite]\nname = "a"\n[[grid]]\ndataset = "cifar10"\nmodel = "mlp"\nrule = "pepita"\nlr = 1e-2\n'
    parse(text, source="a")
    with pytest.raises(SuiteError, match=f'pepita learns from small differences, which {precision} rounds off: use "f'):
        parse(f'{text}precision = "{precision}"\n', source="a")
