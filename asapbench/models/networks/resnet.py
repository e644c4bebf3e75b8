"""ResNets for small images (He et al. 2016, section 4.2's stem; App. C): 3x3 stem of stride 1, no max-pool.

Stages of `width`, 2, 4 and 8 times `width` channels, the first block of each later stage with stride 2 and a 1x1
projection shortcut. Padding is 1: the appendix prints 2, with which maps would grow and the additions fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


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


class ResNet(nn.Module):
    """`blocks` residual blocks a stage, without shortcuts where `shortcut` is false; (N, C, H, W) -> (N, classes)."""

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        width: int,
        blocks: Sequence[int],
        shortcut: bool,
        logits_batchnorm: bool,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(width)
        self.stem_relu = nn.ReLU()
        stages, inputs = [], width
        for stage, count in enumerate(blocks):
            outputs, layers = width * 2**stage, []
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(inputs, outputs, stride=stride, shortcut=shortcut))
                inputs = outputs
            stages.append(nn.Sequential(*layers))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(inputs, classes)
        self.logits_bn = nn.BatchNorm1d(classes) if logits_batchnorm else nn.Identity()

    @property
    def unit_ends(self) -> list[str]:
        """The submodules that end the stem and each block."""
        stages = self.stages.named_children()
        return ["stem_relu", *(f"stages.{s}.{block}" for s, stage in stages for block, _ in stage.named_children())]

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        h = self.stem_relu(self.stem_bn(self.stem(x)))
        h = self.flatten(self.pool(self.stages(h)))
        logits: Tensor = self.logits_bn(self.fc(h))
        return logits
