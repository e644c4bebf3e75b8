"""Modules that several networks are built of, and the first weights of a network. They know nothing of rules."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.randomness import draw_layer
from asapbench.suite.options import Choice

_RELEASED_GAIN = math.sqrt(6)
"""Kaiming-uniform's bound at a = 0 over the one at a = sqrt 5."""


class Network(nn.Sequential):
    """Named parts, one after the other. `unit_ends`: the submodules that end a unit of local learning (a block)."""

    def __init__(self, parts: Mapping[str, nn.Module], *, unit_ends: Sequence[str] | None) -> None:
        super().__init__(OrderedDict(parts))
        self.unit_ends = unit_ends


def logits_batchnorm(choice: Choice, classes: int) -> nn.Module:
    """BatchNorm on the logits, or nothing, by the option `logits_batchnorm`."""
    return nn.BatchNorm1d(classes) if choice.flag("logits_batchnorm") else nn.Identity()


class SubsampledAndPadded(nn.Module):
    """Every `stride`-th row and column, between channels of zeros; (N, C, H, W) -> (N, `channels`, H/stride, W/stride).

    He et al. 2016, section 4.1, option A: a shortcut without parameters. The paper does not say where the zeros are;
    half of them are before the maps and half behind, as in the published program of Sanfiz and Akrout (BioTorch).
    """

    def __init__(self, inputs: int, channels: int, *, stride: int) -> None:
        super().__init__()
        before = (channels - inputs) // 2
        self.stride, self.padding = stride, (0, 0, 0, 0, before, channels - inputs - before)

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


class DivisiveNormalisation(nn.Module):
    """(z - mean of its group) / variance^0.2, in groups of neighbouring outputs of an example, channels first.

    Pogodin and Latham 2020: variance = (sum of squares about the mean + 1) / size. (N, ...) -> the same shape. Nothing
    is learned, and training and evaluation are alike. Computed in float32 at least.
    """

    is_one_operation = True
    """Tracing does not look inside, and a unit of local learning ends in front of it."""
    is_deterministic = True
    """Activation checkpointing need not restore random streams for it."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """The normalised outputs."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(len(x), self.groups, -1)
        centred = wide - wide.mean(2, keepdim=True)
        variance = (centred.square().sum(2, keepdim=True) + 1) / wide.shape[2]
        normalised: Tensor = (centred / variance**0.2).view(x.shape).to(x.dtype)
        return normalised


class BasicBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN (+ shortcut) - ReLU; (N, C, H, W) -> (N, `channels`, H/stride, W/stride).

    A shortcut between maps of different shapes is projected by a 1x1 convolution, or `padded` with zeros.
    """

    def __init__(self, inputs: int, channels: int, *, stride: int, shortcut: bool, padded: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.has_shortcut = shortcut
        self.projection: nn.Module | None = None
        if shortcut and padded and (stride != 1 or inputs != channels):
            self.projection = SubsampledAndPadded(inputs, channels, stride=stride)
        elif shortcut and (stride != 1 or inputs != channels):
            conv = nn.Conv2d(inputs, channels, 1, stride=stride, bias=False)
            self.projection = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        h = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.bn2(self.conv2(h))
        if self.has_shortcut:
            out = out + (x if self.projection is None else self.projection(x))
        activated: Tensor = self.relu2(out)
        return activated


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
