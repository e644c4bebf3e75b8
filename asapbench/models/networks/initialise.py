"""The first weights of a model, drawn from its seed."""

from __future__ import annotations

import math

import torch
from torch import nn

from asapbench.randomness import draw_layer

_RELEASED_GAIN = math.sqrt(6)
"""Kaiming-uniform's bound at a = 0 over the one at a = sqrt 5."""


@torch.no_grad()
def initialise(model: nn.Module, seed: int, *, linear: str = "default") -> None:
    """Draws every weight and bias, each from its own stream of (seed, "weight", parameter name).

    Convolutions and fully connected layers: Kaiming-uniform with a = sqrt 5, biases uniform(+-1/sqrt(fan_in)), torch's
    default and the released code's; `linear` = released draws fully connected layers with a = 0 and biases of zero, as
    its FA layer. Normalisation layers start at one and zero. Raises TypeError for a parametrised layer of another kind.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw_layer(module, seed=seed, purpose="weight", name=name)
            if linear == "released" and isinstance(module, nn.Linear):
                module.weight.mul_(_RELEASED_GAIN)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
        elif next(module.parameters(recurse=False), None) is not None:
            raise TypeError(f"no initialisation is declared for {name}, of type {type(module).__name__}")
