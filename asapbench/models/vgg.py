"""The VGG networks of local learning: VGG8B and the VGG-like network, which have the same layers.

Six 3x3 convolutions of 128-256-256-512-512-512 channels, with a 2x2 max-pool behind the second, fourth, fifth and
sixth, one hidden fully connected layer of 1024 units, and the classifier: so in both published programs
(anokland/local-loss, romanpogodin/plausible-kernelized-bottleneck). The first uses ReLU by default and leaky ReLU in
some recipes, the second leaky ReLU and, by an option, divisive normalisation behind each hidden layer. Not included:
dropout, which both have, by default off; and the biases that the first has in front of BatchNorm, which cancels them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asapbench.errors import SuiteError
from asapbench.models.options import LINEAR_INIT, PLAIN_LOGITS, WIDTH, classifier
from asapbench.suite.entries import LayerShape, ModelEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from torch import nn

_CONVOLUTIONS = ((1, False), (2, True), (2, False), (4, True), (4, True), (4, True))
"""Channels in multiples of the width, and whether a max-pool follows."""


def build(choice: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
    """(N, channels, size, size) -> (N, classes). Maps of one pixel are not pooled, so that any size fits."""
    from torch import nn

    from asapbench.models.networks.modules import DivisiveNormalisation, Network, logits_batchnorm

    activation = nn.ReLU if choice.text("nonlinearity") == "relu" else nn.LeakyReLU
    convolutions = tuple(_convolutions(choice, channels=channels, size=size))
    inputs, hidden, groups = convolutions[-1].activations, choice.integer("hidden"), _groups(choice)
    _require_divisible(groups, convolutions, hidden)
    features, ends = nn.Sequential(), []
    for shape in convolutions:
        features.append(nn.Conv2d(shape.inputs, shape.outputs, 3, padding=1, bias=False))
        features.extend([nn.BatchNorm2d(shape.outputs), activation()])
        if shape.pooled is not None:
            features.append(nn.MaxPool2d(2))
        ends.append(f"features.{len(features) - 1}")
        if groups:
            features.append(DivisiveNormalisation(groups))
    last = nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), activation())
    if groups:
        last.append(DivisiveNormalisation(groups))
    return Network(
        {
            "features": features,
            "flatten": nn.Flatten(),
            "hidden": last,
            "fc": nn.Linear(hidden, classes),
            "logits_bn": logits_batchnorm(choice, classes),
        },
        unit_ends=ends,
    )


def layers(choice: Choice, *, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    """The convolutions, the hidden layer and the classifier."""
    hidden = choice.integer("hidden")
    convolutions = tuple(_convolutions(choice, channels=channels, size=size))
    _require_divisible(_groups(choice), convolutions, hidden)
    yield from convolutions
    yield LayerShape("hidden.0", "linear", convolutions[-1].activations, hidden, bias=True, batchnorm=True)
    yield classifier(choice, hidden, classes)


def _convolutions(choice: Choice, *, channels: int, size: int) -> Iterator[LayerShape]:
    """Each convolution, called by its place among the features: what follows it is counted there, too."""
    inputs, place = channels, 0
    for factor, followed in _CONVOLUTIONS:
        outputs = factor * choice.integer("width")
        pooled = size // 2 if followed and size > 1 else None
        yield LayerShape(f"features.{place}", "conv", inputs, outputs, 3, size, batchnorm=True, pooled=pooled)
        inputs, place = outputs, place + 3 + (pooled is not None) + (_groups(choice) > 0)
        size = size if pooled is None else pooled


def _groups(choice: Choice) -> int:
    """Groups of the divisive normalisation, 0 for none."""
    return int(dict(choice.options).get(DIVISIVE.name, 0))


def _require_divisible(groups: int, convolutions: Sequence[LayerShape], hidden: int) -> None:
    """Raises SuiteError where a hidden layer's outputs cannot be cut into `groups`, of any size for 0."""
    for name, outputs in [*((shape.name, shape.activations) for shape in convolutions), ("hidden.0", hidden)]:
        if groups and outputs % groups:
            raise SuiteError(
                f"divisive_groups {groups} does not divide the {outputs} outputs of {name}: choose a number that "
                "divides the outputs of every hidden layer"
            )


DIVISIVE = Option(
    "divisive_groups",
    0,
    "groups of the divisive normalisation behind each hidden layer, which must be divisible by them; 0: none",
    minimum=0,
)


def _entry(name: str, title: str, source: str, nonlinearity: str, *more: Option) -> ModelEntry:
    options = (
        replace(WIDTH, default=128),
        Option("hidden", 1024, "units of the hidden fully connected layer", minimum=1),
        Option("nonlinearity", nonlinearity, "ReLU, or leaky ReLU with slope 0.01", choices=("relu", "leaky_relu")),
        PLAIN_LOGITS,
        LINEAR_INIT,
        *more,
    )
    return ModelEntry(name, title, source, options=options, build=build, layers=layers)


vgg8b = _entry("vgg8b", "VGG8B", "Nøkland and Eidnes 2019", "relu")
vgg_like = _entry("vgg_like", "VGG-like", "Pogodin and Latham 2020", "leaky_relu", DIVISIVE)
