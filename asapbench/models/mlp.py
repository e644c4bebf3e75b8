"""The fully connected network of A.2 (there 784-10-10-10): linear, or with BatchNorm and ReLU after hidden layers.

Other works have ReLU alone: `batchnorm = false`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from asapbench.models.options import LINEAR_INIT, classifier
from asapbench.suite.entries import PAPER, LayerShape, ModelEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from torch import nn


def build(choice: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
    """(N, channels, size, size) or (N, inputs) -> (N, classes)."""
    from torch import nn

    from asapbench.models.networks.modules import Network, logits_batchnorm

    inputs, hidden, nonlinear = channels * size * size, choice.integer("hidden"), choice.flag("nonlinear")
    layers = nn.Sequential()
    for _ in range(choice.integer("depth")):
        layers.append(nn.Linear(inputs, hidden))
        if nonlinear and choice.flag("batchnorm"):
            layers.append(nn.BatchNorm1d(hidden))
        if nonlinear:
            layers.append(nn.ReLU())
        inputs = hidden
    last = logits_batchnorm(choice, classes) if nonlinear else nn.Identity()
    return Network(
        {"flatten": nn.Flatten(), "hidden": layers, "fc": nn.Linear(inputs, classes), "logits_bn": last}, unit_ends=None
    )


def layers(choice: Choice, *, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    """The hidden layers and the classifier."""
    inputs, hidden, nonlinear = channels * size * size, choice.integer("hidden"), choice.flag("nonlinear")
    batchnorm = nonlinear and choice.flag("batchnorm")
    for number in range(choice.integer("depth")):
        name = f"hidden.{number * (1 + nonlinear + batchnorm)}"
        yield LayerShape(name, "linear", inputs, hidden, bias=True, batchnorm=batchnorm)
        inputs = hidden
    yield classifier(choice, inputs, classes, linear=not nonlinear)


entry = ModelEntry(
    "mlp",
    "MLP",
    f"{PAPER}, A.2",
    options=(
        Option("hidden", 10, "units of each hidden layer", minimum=1),
        Option("depth", 2, "hidden layers", minimum=1),
        Option("nonlinear", True, "BatchNorm and ReLU after each hidden layer; false: a linear network"),
        Option("batchnorm", True, "BatchNorm in front of each ReLU"),
        Option("logits_batchnorm", True, "BatchNorm on the logits of the nonlinear network"),
        LINEAR_INIT,
    ),
    build=build,
    layers=layers,
    has_convolutions=False,
)
