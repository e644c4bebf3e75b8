"""ResNets for small images (He et al. 2016, section 4.2's stem; App. C), with and without (nsc) shortcuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from asapbench.models.options import LINEAR_INIT, LOGITS, WIDTH, classifier
from asapbench.suite.entries import PAPER, LayerShape, ModelEntry
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from torch import nn


def _build(
    blocks: Sequence[int], shortcut: bool, choice: Choice, *, channels: int, size: int, classes: int
) -> nn.Module:
    """(N, channels, H, W) -> (N, classes) for maps of any size: 3x3 stem of stride 1, no max-pool.

    Stages of `width`, 2, 4 and 8 times `width` channels, the first block of each later stage with stride 2 and a 1x1
    projection shortcut. Padding is 1: the appendix prints 2, with which maps would grow and the additions fail.
    """
    from torch import nn

    from asapbench.models.networks.modules import BasicBlock, Network, logits_batchnorm

    inputs = width = choice.integer("width")
    stages = nn.Sequential()
    for stage, count in enumerate(blocks):
        outputs, layers = width * 2**stage, nn.Sequential()
        for block in range(count):
            layers.append(BasicBlock(inputs, outputs, stride=_stride(stage, block), shortcut=shortcut))
            inputs = outputs
        stages.append(layers)
    return Network(
        {
            "stem": nn.Conv2d(channels, width, 3, padding=1, bias=False),
            "stem_bn": nn.BatchNorm2d(width),
            "stem_relu": nn.ReLU(),
            "stages": stages,
            "pool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "fc": nn.Linear(inputs, classes),
            "logits_bn": logits_batchnorm(choice, classes),
        },
        unit_ends=["stem_relu", *(f"stages.{s}.{block}" for s, count in enumerate(blocks) for block in range(count))],
    )


def _layers(
    blocks: Sequence[int], shortcut: bool, choice: Choice, *, channels: int, size: int, classes: int
) -> Iterator[LayerShape]:
    """The stem, two convolutions and sometimes a projection for each block, and the classifier."""
    inputs = width = choice.integer("width")
    yield LayerShape("stem", "conv", channels, width, 3, size, batchnorm=True)
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        for block in range(count):
            name, stride = f"stages.{stage}.{block}", _stride(stage, block)
            size = -(-size // stride)
            yield LayerShape(f"{name}.conv1", "conv", inputs, outputs, 3, size, batchnorm=True)
            yield LayerShape(f"{name}.conv2", "conv", outputs, outputs, 3, size, batchnorm=True)
            if shortcut and (stride != 1 or inputs != outputs):
                yield LayerShape(
                    f"{name}.projection.0", "conv", inputs, outputs, 1, size, batchnorm=True, shortcut=True
                )
            inputs = outputs
    yield classifier(choice, inputs, classes)


def _stride(stage: int, block: int) -> int:
    return 2 if stage > 0 and block == 0 else 1


def _entry(name: str, title: str, source: str, blocks: tuple[int, ...], *, shortcut: bool = True) -> ModelEntry:
    build, layers = partial(_build, blocks, shortcut), partial(_layers, blocks, shortcut)
    options = (WIDTH, LOGITS, LINEAR_INIT)
    return ModelEntry(name, title, source, options=options, build=build, layers=layers, has_shortcuts=shortcut)


_10, _18, _34 = (1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3)

resnet10 = _entry("resnet10", "ResNet-10", "one block a stage of He et al. 2016", _10)
resnet10_nsc = _entry("resnet10_nsc", "ResNet-10 (nsc)", "resnet10 without shortcuts", _10, shortcut=False)
resnet18 = _entry("resnet18", "ResNet-18", "He et al. 2016; released code for 32x32 images", _18)
resnet18_nsc = _entry("resnet18_nsc", "ResNet-18 (nsc)", f"{PAPER}, App. C: no shortcuts", _18, shortcut=False)
resnet34 = _entry("resnet34", "ResNet-34", "He et al. 2016; released code for 32x32 images", _34)
