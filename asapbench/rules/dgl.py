"""Decoupled greedy learning (Belilovsky et al. 2019, 2020): a small network behind each unit predicts the classes.

The auxiliary network keeps the unit's resolution low: average pool by 4, three 1x1 convolutions, pool to 2x2,
`hidden_layers` fully connected layers of 4 times the unit's channels, BatchNorm and ReLU behind each of these, and the
layer that gives the logits. The authors' program has three hidden layers. Behind a fully connected unit there is the
last layer alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.local import LocalRule
from asapbench.rules.options import unit
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    import torch

    from asapbench.rules.engine.local import Head


class DGL(LocalRule):
    """Own input, plain autograd inside a unit, whose error comes from a trained auxiliary network."""

    entry = RuleEntry(
        "dgl",
        "DGL",
        "Belilovsky et al. 2019, 2020: decoupled greedy learning",
        revision=2,
        options=(
            unit("block"),
            Option(
                "hidden_layers",
                3,
                "hidden fully connected layers of the auxiliary network: three in the authors' program, two by one "
                "reading of the work's text",
                minimum=1,
            ),
        ),
        extra_weights=2.6,
        look=Look("vermillion", "cross", "dashed"),
    )

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The auxiliary network of one unit."""
        from asapbench.rules.engine.local import Auxiliary, draw_layers

        return draw_layers(Auxiliary(shape, classes, self.choice.integer("hidden_layers")), seed=seed, name=name)
