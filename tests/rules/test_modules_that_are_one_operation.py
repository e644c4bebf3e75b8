"""A module that declares `is_one_operation` is not looked into: every rule takes its exact derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import asapbench
from asapbench.errors import AsapbenchError


class Softened(nn.Module):
    """An operation that no rule supports, in a module of the user's own."""

    is_one_operation = True

    def forward(self, x: Tensor) -> Tensor:
        return x / (1 + x.square().mean((1, 2, 3), keepdim=True)).pow(0.3)


class Unmarked(Softened):
    is_one_operation = False


def network(module: nn.Module) -> nn.Sequential:
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    return nn.Sequential(convolution, module, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 5)).double()


def test_its_exact_derivative_is_taken() -> None:
    torch.manual_seed(0)
    model = network(Softened())
    images, labels = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 5
    nn.functional.cross_entropy(model(images), labels).backward()
    wanted = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    learner = asapbench.attach(model, "bp", sample=images[:2])
    learner.backward(images, labels)
    found = [parameter.grad for parameter in model.parameters()]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_without_the_declaration_what_is_inside_is_refused() -> None:
    model = network(Unmarked())
    with pytest.raises(AsapbenchError, match=r"pow|square|mean"):
        asapbench.attach(model, "fa", sample=torch.randn(2, 3, 8, 8, dtype=torch.float64))
