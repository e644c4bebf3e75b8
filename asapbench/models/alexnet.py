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
    """(N, channels, size, size) -> (N, classes), with 64-128-256 channels and 1024-1024 hidden units by default.

    `kernel=3`: stride 1, padding 2, max-pool 2 (32 -> 34 -> 17 -> 19 -> 9 -> 11 -> 5). `kernel=5`: stride 1, padding 2,
    max-pool 2 in ceil mode (32 -> 16 -> 8 -> 4).
    """
    from torch import nn

    from asapbench.models.networks.modules import Network, logits_batchnorm

    kernel, width, hidden = choice.integer("kernel"), choice.integer("width"), choice.integer("hidden")
    features, inputs = nn.Sequential(), channels
    for outputs in (width, 2 * width, 4 * width):
        features.append(nn.Conv2d(inputs, outputs, kernel, padding=2, bias=choice.flag("conv_bias")))
        features.extend([nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=kernel == 5)])
        inputs, size = outputs, _pooled(size, kernel)
    layers = [nn.Linear(inputs * size * size, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
    layers += [nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
    return Network(
        {
            "features": features,
            "flatten": nn.Flatten(),
            "hidden": nn.Sequential(*layers),
            "fc": nn.Linear(hidden, classes),
            "logits_bn": logits_batchnorm(choice, classes),
        },
        unit_ends=[f"features.{number}" for number, part in enumerate(features) if isinstance(part, nn.MaxPool2d)],
    )


def _pooled(size: int, kernel: int) -> int:
    """The side of the maps behind a convolution of maps of side `size` and its max-pool."""
    return (size + 5 - kernel + (kernel == 5)) // 2


def layers(choice: Choice, *, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    """Three convolutions, each with a max-pool behind it, two hidden layers and the classifier."""
    kernel, width, hidden = choice.integer("kernel"), choice.integer("width"), choice.integer("hidden")
    inputs, bias = channels, choice.flag("conv_bias")
    for number, outputs in enumerate((width, 2 * width, 4 * width)):
        name, maps, pooled = f"features.{4 * number}", size + 5 - kernel, _pooled(size, kernel)
        yield LayerShape(name, "conv", inputs, outputs, kernel, maps, bias, batchnorm=True, pooled=pooled)
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
