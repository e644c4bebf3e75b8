"""Local error signals (Nøkland and Eidnes 2019): similarity matching and prediction behind each unit.

sim: MSE(S(R h), S(onehot y)), R a trained 3x3 convolution (a fully connected layer where h has no maps), S the cosines
between the centred features of a batch's examples; the features of maps are their standard deviations by channel.
pred: cross-entropy of V pooled(h) + b, where V starts at zero. predsim: beta sim + (1 - beta) pred; the output's own
loss then counts 1 - beta as well. Losses are taken before a max-pool, which falls to the next unit. Smoothed labels
change prediction alone: the cosines of centred one-hot labels stay, and bpf's targets are no class probabilities.

The backprop-free variant (`bpf`) carries no error through a learned weight. R is left out and S sees pooled(h). A fixed
random projection of y to 128 numbers takes the place of onehot y in sim; in pred their signs take the classes' place,
with binary cross-entropy. The error of V comes back through a fixed random matrix, and b starts at zero too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.local import LocalRule
from asapbench.rules.options import unit
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    import torch
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.local import Head
    from asapbench.rules.engine.units import Unit


class PredSim(LocalRule):
    """Own input, plain autograd inside a unit, whose error is that of similarity matching and prediction."""

    entry = RuleEntry(
        "predsim",
        "predsim",
        "Nøkland and Eidnes 2019",
        revision=2,
        options=(
            unit("conv"),
            Option(
                "loss",
                "predsim",
                "similarity matching and prediction, or one of them",
                choices=("predsim", "pred", "sim"),
            ),
            Option(
                "beta",
                0.99,
                "the share of similarity matching in predsim; the output's own loss counts the rest",
                minimum=0,
                below=1,
            ),
            Option("bpf", False, "the backprop-free variant: projected targets, no learned weight for errors"),
        ),
        extra_weights=1.2,
        look=Look("green", "star", "dashed"),
    )

    @property
    def output_share(self) -> float:
        """Prediction's share, the output's loss being a prediction too."""
        return 1 - self.choice.number("beta") if self.choice.text("loss") == "predsim" else 1.0

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """As every local rule's, but a unit ends before a max-pool."""
        from asapbench.rules.engine.units import named_units

        return named_units([flow.before_max_pool(unit.end) for unit in super().units(model, flow)], flow)

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """Similarity matching, prediction or both behind one unit."""
        from asapbench.rules.engine.similarity import similarity_head

        loss, beta, bpf = self.choice.text("loss"), self.choice.number("beta"), self.choice.flag("bpf")
        return similarity_head(shape, classes, loss=loss, beta=beta, bpf=bpf, seed=seed, name=name)
