"""The three-convolution AlexNet of App. C, as printed (`kernel=3`) or as released (`kernel=5`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from asapbench.models.options import LINEAR_INIT, LOGITS, WIDTH, classifier
from asapbench.suite.entries import PAPER, LayerShape, ModelEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from torch import nn


def build(choice: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
    """The network for images of `channels` x `size` x `size`."""
    from asapbench.models.networks.alexnet import AlexNet

    return AlexNet(
        channels=channels,
        size=size,
        classes=classes,
        width=choice.integer("width"),
        kernel=choice.integer("kernel"),
        hidden=choice.integer("hidden"),
        logits_batchnorm=choice.flag("logits_batchnorm"),
        conv_bias=choice.flag("conv_bias"),
    )


def layers(choice: Choice, *, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    """Three convolutions, each with a max-pool behind it, two hidden layers and the classifier."""
    kernel, width, hidden = choice.integer("kernel"), choice.integer("width"), choice.integer("hidden")
    inputs, bias = channels, choice.flag("conv_bias")
    for number, outputs in enumerate((width, 2 * width, 4 * width)):
        size = size + 5 - kernel
        pooled = (size + (kernel == 5)) // 2
        name = f"features.{4 * number}"
        yield LayerShape(name, "conv", inputs, outputs, kernel, size, bias, batchnorm=True, pooled=pooled)
        inputs, size = outputs, pooled
    yield LayerShape("hidden.0", "linear", inputs * size * size, hidden, bias=True, batchnorm=True)
    yield LayerShape("hidden.3", "linear", hidden, hidden, bias=True, batchnorm=True)
    yield classifier(choice, hidden, classes)


entry = ModelEntry(
    "alexnet",
    "AlexNet",
    f"{PAPER}, App. C",
    options=(
        Option("kernel", 3, "3x3 with floor pooling as printed, or 5x5 with ceil pooling as released", (3, 5)),
        WIDTH,
        Option("hidden", 1024, "units of the two hidden fully connected layers", minimum=1),
        LOGITS,
        Option("conv_bias", False, "biases in front of BatchNorm, as in the released AlexNet"),
        LINEAR_INIT,
    ),
    build=build,
    layers=layers,
)
