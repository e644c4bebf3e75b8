"""AugLocal (Ma et al. 2024): behind a unit stand copies of layers that follow it in the network, and a classifier.

Of the n layers (residual blocks and the stem, or convolutions; without convolutions the hidden layers), numbered from
0, the first n - 1 - `depth` have an auxiliary network, at least one of them; the others are trained by the output. Of
m auxiliary networks the l-th is d = round(depth - (depth - 1) pyramid l / (m - 1)) layers deep, at least 1. Its layers
are copies, drawn for each unit, of the layers round(l + (n - 1 - l) i / d), i = 1 to d, so that the last layer is
always among them. An average over the maps and the classifier follow, in networks of depth 1 with BatchNorm between.

A copy reads what the copy before it gives: layers that read a unit's input are made for that many channels. A layer
whose input is larger than in the network, and which does not make it smaller itself, halves it by its first convolution
with a kernel above 1x1. A shortcut that no longer fits becomes a 1x1 convolution with BatchNorm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.local import LocalRule
from asapbench.rules.options import unit
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.local import Head
    from asapbench.rules.engine.units import Unit


class AugLocal(LocalRule):
    """Own input, plain autograd inside a unit, whose error comes from copies of layers that follow it."""

    entry = RuleEntry(
        "auglocal",
        "AugLocal",
        "Ma et al. 2024: augmented auxiliary networks",
        options=(
            unit("block"),
            Option("depth", 2, "layers that the first auxiliary network copies", minimum=1),
            Option(
                "pyramid",
                0.5,
                "how much of the depth is lost, linearly, up to the last auxiliary network; 0: all are equally deep",
                minimum=0,
            ),
        ),
        extra_weights=2.2,
        look=Look("orange", "circle", "dashed"),
    )

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """The first layers, as many as have an auxiliary network."""
        layers = self._layers(model, flow)
        return layers[: max(1, len(layers) - 1 - self.choice.integer("depth"))]

    def heads(self, units: Sequence[Unit], model: nn.Module, flow: Dataflow, *, seed: int) -> dict[str, Head]:
        """The auxiliary network of each unit."""
        from asapbench.rules.engine.auxiliary import copies_of, draw_auxiliary

        layers = self._layers(model, flow)
        found: dict[str, Head] = {}
        for number, one in enumerate(units):
            wanted = followers(number, layers=len(layers), depth=self._depth(number, len(units)))
            copies = copies_of([layers[place] for place in wanted], behind=one, layers=layers, flow=flow)
            found[one.name] = draw_auxiliary(copies, flow.shape(one.end), flow.classes, seed=seed, name=one.name)
        return found

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The auxiliary network of a unit that no layer follows: the classifier alone."""
        from asapbench.rules.engine.auxiliary import draw_auxiliary

        return draw_auxiliary([], shape, classes, seed=seed, name=name)

    def _layers(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """What is copied: every unit that ends in maps; where none does, every unit."""
        units = super().units(model, flow)
        return [one for one in units if len(flow.shape(one.end)) == 4] or units

    def _depth(self, number: int, count: int) -> int:
        """How many layers auxiliary network `number` of `count` copies."""
        depth, lost = self.choice.integer("depth"), self.choice.number("pyramid")
        share = number * lost / (count - 1) if count > 1 else 0.0
        return max(1, round(depth * (1 - share) + share))


def followers(number: int, *, layers: int, depth: int) -> list[int]:
    """The numbers of the layers that an auxiliary network behind layer `number` copies: `depth` of those that follow.

    >>> followers(0, layers=16, depth=2), followers(12, layers=16, depth=2), followers(14, layers=16, depth=3)
    ([8, 15], [14, 15], [15])
    """
    after = layers - 1 - number
    if depth >= after:
        return list(range(number + 1, layers))
    return [round(number + after / depth * step) for step in range(1, depth + 1)]
