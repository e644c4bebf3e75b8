"""A network of the package on CIFAR's shape, and its training step in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.suite.catalog import MODELS


def network(width: int, *, model: str = "resnet18") -> nn.Module:
    """The model before a rule is attached, for 3x32x32 images of 10 classes, in training mode."""
    made = build(MODELS[model].choose({"width": width}), channels=3, size=32, classes=10)
    initialise(made, 0)
    return made.train()


def sgd(parameters: Iterable[nn.Parameter], *, fused: bool = True) -> torch.optim.Optimizer:
    """Over those of `parameters` that are trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=fused)


def training_step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Forward by `loss`, backward and update."""

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss())
        optimizer.step()

    return step
