"""DeeperForward (Sun et al., ICLR 2025), supervised forward-forward learning, as a plug-in: its network and its rule.

The channels of a layer y = ReLU(W x) are cut into a group for each class. The mean of a group is the class's goodness;
the layer learns from the cross-entropy of the goodness alone, and passes y on normalised by group. There is no
classifier: the logits are the sum of the layers' goodness. Written from a public copy of the authors' program
(github.com/BasitHussain5/project_1, deeperforward-main), whose values tests/plugins/test_the_forward_forward_example.py
holds. Not included: dropout of 0.2, and the choice of the layers that are summed on validation data after each epoch.
Here all layers but the first are summed, as there at first.

`asapbench run examples/deeperforward.toml` trains it beside backpropagation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from asapbench.rules.local import LocalRule
from asapbench.suite.entries import ModelEntry, RuleEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.local import Head
    from asapbench.rules.engine.units import Unit


class DeeperForward(LocalRule):
    """Own input, and an error that leaves no layer: the cross-entropy of its own goodness."""

    entry = RuleEntry("deeperforward", "DeeperForward", "Sun et al. 2025", needs="convolutions")

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """Each convolution with its activation, the last one too: no layer is left for the output's own loss."""
        from asapbench.rules.engine.units import named_units

        return named_units([next(iter(layer.node.users)) for layer in flow.main], flow)

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The goodness of one layer as logits."""
        from asapbench.errors import GraphError
        from asapbench.rules.engine.local import Head

        if shape[1] % classes:
            raise GraphError(f"{name}: {shape[1]} channels cannot be cut into a group for each of {classes} classes")

        class Goodness(Head):
            def forward(self, h: Tensor, y: Tensor) -> Tensor:
                return self.criterion(goodness(h, classes), y)

        return Goodness()


def goodness(y: Tensor, classes: int) -> Tensor:
    """The mean (N, classes) of each class's channels of maps (N, C, H, W)."""
    return y.flatten(2).mean(2).unflatten(1, (classes, -1)).mean(2)


class Layer(nn.Module):
    """A convolution with ReLU and normalisation by class; it returns what it passes on and its goodness."""

    def __init__(self, inputs: int, outputs: int, classes: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False)
        self.relu = nn.ReLU()
        self.norm = nn.GroupNorm(classes, outputs, affine=False)
        self.classes = classes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised maps, and the goodness (N, classes)."""
        y = self.relu(self.conv(x))
        return self.norm(y), goodness(y, self.classes)


class Network(nn.Module):
    """A first layer and four blocks of four; the later blocks halve the maps and have twice the channels."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, affine=False)
        self.first = Layer(channels, width, classes, 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                Layer(width << block, width << block, classes, 2 if block and not place else 1) for place in range(4)
            )
            for block in range(4)
        )
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        x, _ = self.first(self.norm(x))
        shortcut, logits = x, []
        for number, block in enumerate(self.blocks):
            for place, layer in enumerate(block):
                x, found = layer(x)
                logits.append(found)
                if place == 1:
                    shortcut = x = x + shortcut
            if number < 3:
                x = torch.cat((x, shortcut), 1)
                shortcut = self.pool(x)
        total = logits[0]
        for found in logits[1:]:
            total = total + found
        return total


def build(choice: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
    """(N, channels, size, size) -> (N, classes); `size` is divisible by 8."""
    return Network(channels, classes * choice.integer("width"), classes)


entry = ModelEntry(
    "deeperforward",
    "DeeperForward's ResNet",
    "Sun et al. 2025",
    options=(Option("width", 10, "channels of each class in the first layers", minimum=1),),
    build=build,
    has_shortcuts=True,
)
