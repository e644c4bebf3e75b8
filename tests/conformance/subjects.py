"""What the conformance tests run on: every rule with every catalog model, small, and torchvision's ResNet."""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from asapbench.models import build, initialise
from asapbench.rules import Learner
from asapbench.suite.catalog import MODELS, RULES

CLASSES = 10
TORCHVISION = "torchvision resnet10"
"""Of its own class, with one block a stage: a block more has no layer of another kind, and twice the parameters."""
MODEL_NAMES = (*MODELS, TORCHVISION)
ALIKE = ("resnet32", "resnet56", "vgg_like")
"""Models that have another's layers, or more of its blocks, and nothing else: backpropagation alone."""
SUBJECTS = [
    (rule, model)
    for rule, entry in RULES.items()
    for model in MODEL_NAMES
    if rule == "bp" or model not in ALIKE
    if (entry.needs != "linear" if model == TORCHVISION else entry.unsuited(MODELS[model]) is None)
]
LIGHT = [(rule, model) for rule, model in SUBJECTS if model in ("alexnet", "resnet10", "mlp")]
VARIED = [*LIGHT, *((rule, model) for rule, model in SUBJECTS if model == TORCHVISION)]


def model_of(name: str, *, seed: int = 1, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A small model of that name, initialised from `seed`; a new one each time."""
    return copy.deepcopy(_model(name, seed, dtype))


@cache
def _model(name: str, seed: int, dtype: torch.dtype) -> nn.Module:
    if name == TORCHVISION:
        model: nn.Module = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
    else:
        small = {"width": 3, "hidden": 6}
        options = {key: value for key, value in small.items() if key in {o.name for o in MODELS[name].options}}
        model = build(MODELS[name].choose(options), channels=3, size=size_of(name), classes=CLASSES)
    initialise(model, seed)
    return model.to(dtype)


def size_of(name: str) -> int:
    return 64 if name == TORCHVISION else 12


@cache
def batch_of(name: str, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """The same images and labels every time."""
    draw = torch.Generator().manual_seed(2)
    count, size = (2, 64) if name == TORCHVISION else (5, size_of(name))
    return (
        torch.randn(count, 3, size, size, generator=draw, dtype=torch.float64).to(dtype),
        torch.randint(CLASSES, (count,), generator=draw),
    )


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradient of each parameter that has one."""
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def hold(learner: Learner) -> None:
    """From now on the learner does nothing before a step, so that its feedback weights stay as they are."""
    object.__setattr__(learner, "begin_step", lambda: None)


@torch.no_grad()
def mirror(learner: Learner) -> None:
    """Sets every feedback weight to its forward weight, and holds it there."""
    hold(learner)
    for _, weight, feedback in learner.feedback_pairs():
        feedback.copy_(weight)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected size; 0 where both are zero."""
    scale = expected.abs().max().item()
    return (found - expected).abs().max().item() / scale if scale else found.abs().max().item()
