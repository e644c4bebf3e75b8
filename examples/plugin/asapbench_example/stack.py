"""A stack of convolutions with BatchNorm, global average pooling and a classifier."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from asapbench.suite.entries import ModelEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from torch import nn


def build(choice: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
    """(N, channels, size, size) -> (N, classes). asapbench draws the weights and counts the layers."""
    from torch import nn

    width, layers = choice.integer("width"), []
    for inputs, outputs in pairwise([channels, *[width] * choice.integer("depth")]):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


entry = ModelEntry(
    "stack",
    "Stack",
    "an example",
    options=(
        Option("width", 8, "channels of each convolution", minimum=1),
        Option("depth", 4, "convolutions", minimum=1),
    ),
    build=build,
)
