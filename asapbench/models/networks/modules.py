"""Modules that several networks are built of, in torch. They know nothing of rules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from asapbench.suite.options import Choice


class Network(nn.Sequential):
    """Named parts, one after the other. `unit_ends`: the submodules that end a unit of local learning (a block)."""

    def __init__(self, parts: Mapping[str, nn.Module], *, unit_ends: Sequence[str] | None) -> None:
        super().__init__(OrderedDict(parts))
        self.unit_ends = unit_ends


def logits_batchnorm(choice: Choice, classes: int) -> nn.Module:
    """BatchNorm on the logits, or nothing, by the option `logits_batchnorm`."""
    return nn.BatchNorm1d(classes) if choice.flag("logits_batchnorm") else nn.Identity()


class BasicBlock(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN (+ shortcut) - ReLU; (N, C, H, W) -> (N, `channels`, H/stride, W/stride)."""

    def __init__(self, inputs: int, channels: int, *, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.has_shortcut = shortcut
        self.projection: nn.Module | None = None
        if shortcut and (stride != 1 or inputs != channels):
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
