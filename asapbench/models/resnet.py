"""ResNets for small images (He et al. 2016): those of App. C, with and without (nsc) shortcuts, and section 4.2's.

App. C's have four stages of 64 to 512 channels and section 4.2's stem. Section 4.2's own, for CIFAR, have three stages
of 16 to 64 channels, and shortcuts without parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from asapbench.models.options import LINEAR_INIT, LOGITS, PLAIN_LOGITS, WIDTH, classifier
from asapbench.suite.entries import PAPER, LayerShape, ModelEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from torch import nn


def _build(
    blocks: Sequence[int], shortcut: bool, choice: Choice, *, channels: int, size: int, classes: int
) -> nn.Module:
    """(N, channels, H, W) -> (N, classes) for maps of any size: 3x3 stem of stride 1, no max-pool.

    Stages of `width`, 2, 4, ... times `width` channels, the first block of each later stage with stride 2 and a 1x1
    projection shortcut, or one padded with zeros. Padding is 1: the appendix prints 2, with which maps would grow and
    the additions fail.
    """
    from torch import nn

    from asapbench.models.networks.modules import BasicBlock, Network, logits_batchnorm

    inputs = width = choice.integer("width")
    stages = nn.Sequential()
    for stage, count in enumerate(blocks):
        outputs, layers = width * 2**stage, nn.Sequential()
        for block in range(count):
            stride = _stride(stage, block)
            layers.append(BasicBlock(inputs, outputs, stride=stride, shortcut=shortcut, padded=_is_padded(choice)))
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
            if shortcut and not _is_padded(choice) and (stride != 1 or inputs != outputs):
                yield LayerShape(
                    f"{name}.projection.0", "conv", inputs, outputs, 1, size, batchnorm=True, shortcut=True
                )
            inputs = outputs
    yield classifier(choice, inputs, classes)


def _is_padded(choice: Choice) -> bool:
    """Whether shortcuts between maps of different shapes are padded with zeros, not projected."""
    return dict(choice.options).get(SHORTCUT.name) == "A"


def _stride(stage: int, block: int) -> int:
    return 2 if stage > 0 and block == 0 else 1


def _entry(
    name: str,
    title: str,
    source: str,
    blocks: tuple[int, ...],
    *,
    shortcut: bool = True,
    options: tuple[Option, ...] = (WIDTH, LOGITS, LINEAR_INIT),
) -> ModelEntry:
    build, layers = partial(_build, blocks, shortcut), partial(_layers, blocks, shortcut)
    return ModelEntry(name, title, source, options=options, build=build, layers=layers, has_shortcuts=shortcut)


def _cifar(name: str, title: str, blocks: int) -> ModelEntry:
    """A network of He et al. 2016, section 4.2: three stages of `blocks` blocks each."""
    options = (replace(WIDTH, default=16), SHORTCUT, PLAIN_LOGITS, LINEAR_INIT)
    return _entry(name, title, "He et al. 2016, section 4.2", (blocks,) * 3, options=options)


SHORTCUT = Option(
    "shortcut",
    "A",
    "where maps halve: A, every other row and column, padded with channels of zeros, as He et al. do for CIFAR; "
    "B, a 1x1 convolution with BatchNorm",
    choices=("A", "B"),
)
_10, _18, _34 = (1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3)

resnet10 = _entry("resnet10", "ResNet-10", "one block a stage of He et al. 2016", _10)
resnet10_nsc = _entry("resnet10_nsc", "ResNet-10 (nsc)", "resnet10 without shortcuts", _10, shortcut=False)
resnet18 = _entry("resnet18", "ResNet-18", "He et al. 2016; released code for 32x32 images", _18)
resnet18_nsc = _entry("resnet18_nsc", "ResNet-18 (nsc)", f"{PAPER}, App. C: no shortcuts", _18, shortcut=False)
resnet34 = _entry("resnet34", "ResNet-34", "He et al. 2016; released code for 32x32 images", _34)
resnet20 = _cifar("resnet20", "ResNet-20", 3)
resnet32 = _cifar("resnet32", "ResNet-32", 5)
resnet56 = _cifar("resnet56", "ResNet-56", 9)
