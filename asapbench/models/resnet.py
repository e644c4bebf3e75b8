"""ResNets for small images (He et al. 2016, section 4.2's stem; App. C), with and without (nsc) shortcuts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from asapbench.models.options import LINEAR_INIT, LOGITS, WIDTH, classifier
from asapbench.suite.entries import PAPER, LayerShape, ModelEntry
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from torch import nn


class _Architecture:
    """A number of residual blocks for each stage, with or without shortcuts."""

    def __init__(self, blocks: tuple[int, ...], *, shortcut: bool) -> None:
        self.blocks, self.shortcut = blocks, shortcut

    def build(self, choice: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
        """The network for images of `channels` channels and any size."""
        from asapbench.models.networks.resnet import ResNet

        return ResNet(
            channels=channels,
            classes=classes,
            blocks=self.blocks,
            shortcut=self.shortcut,
            width=choice.integer("width"),
            logits_batchnorm=choice.flag("logits_batchnorm"),
        )

    def layers(self, choice: Choice, *, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
        """The stem, two convolutions and sometimes a projection for each block, and the classifier."""
        inputs = width = choice.integer("width")
        yield LayerShape("stem", "conv", channels, width, 3, size, batchnorm=True)
        for stage, count in enumerate(self.blocks):
            outputs = width * 2**stage
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                size = -(-size // stride)
                name = f"stages.{stage}.{block}"
                yield LayerShape(f"{name}.conv1", "conv", inputs, outputs, 3, size, batchnorm=True)
                yield LayerShape(f"{name}.conv2", "conv", outputs, outputs, 3, size, batchnorm=True)
                if self.shortcut and (stride != 1 or inputs != outputs):
                    projection = f"{name}.projection.0"
                    yield LayerShape(projection, "conv", inputs, outputs, 1, size, batchnorm=True, shortcut=True)
                inputs = outputs
        yield classifier(choice, inputs, classes)


def _entry(name: str, title: str, source: str, blocks: tuple[int, ...], *, shortcut: bool = True) -> ModelEntry:
    made, options = _Architecture(blocks, shortcut=shortcut), (WIDTH, LOGITS, LINEAR_INIT)
    return ModelEntry(
        name, title, source, options=options, build=made.build, layers=made.layers, has_shortcuts=shortcut
    )


_10, _18, _34 = (1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3)

resnet10 = _entry("resnet10", "ResNet-10", "one block a stage of He et al. 2016", _10)
resnet10_nsc = _entry("resnet10_nsc", "ResNet-10 (nsc)", "resnet10 without shortcuts", _10, shortcut=False)
resnet18 = _entry("resnet18", "ResNet-18", "He et al. 2016; released code for 32x32 images", _18)
resnet18_nsc = _entry("resnet18_nsc", "ResNet-18 (nsc)", f"{PAPER}, App. C: no shortcuts", _18, shortcut=False)
resnet34 = _entry("resnet34", "ResNet-34", "He et al. 2016; released code for 32x32 images", _34)
