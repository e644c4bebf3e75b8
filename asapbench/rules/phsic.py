"""Kernelized information bottleneck (Pogodin and Latham 2020): each unit's loss compares examples by kernels.

L(z, y) = pHSIC(z, z) - gamma pHSIC(y, z), where z is the unit's output behind activation and pooling. pHSIC(a, b) is
the mean over all pairs (i, j) of examples, i = j among them, of (K_a[i, j] - mean of K_a) K_b[i, j]: plausible HSIC, in
which a pair needs no other pair but by one mean. K_z is the cosine or a Gaussian of grouped outputs, K_y the cosine
of one-hot labels about their mean; smoothed labels have the same K_y. The last layer learns from cross-entropy.

Grouping: z is flattened, channels first, and cut into groups of neighbours; a group is worth
((sum of squares about its mean + delta) / size)^power, and the groups' mean is subtracted. A unit with few outputs has
fewer groups, of two outputs each; where the outputs cannot be cut evenly, group sizes differ by one.

Nothing is learned or drawn beside the model, and no error crosses a layer.
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


class PHSIC(LocalRule):
    """Own input, plain autograd inside a unit, whose error is that of the kernelized bottleneck."""

    entry = RuleEntry(
        "phsic",
        "pHSIC",
        "Pogodin and Latham 2020: kernelized information bottleneck",
        options=(
            unit("conv"),
            Option("kernel", "cosine", "how a unit's outputs are compared", choices=("cosine", "gaussian")),
            Option("sigma", 5.0, "width of the Gaussian kernel, exp(-|a - b|^2 / (2 sigma^2))", minimum=1e-3),
            Option(
                "groups",
                64,
                "how many groups a unit's outputs are cut into, fewer if a group would have less than two; 0: kernels "
                "of the outputs themselves, not centred",
                minimum=0,
            ),
            Option("power", 0.5, "a group is worth its variance to this power; 0.5: a deviation", minimum=1e-3),
            Option("delta", 1.0, "added to the sum of squares of a group", minimum=0),
            Option("gamma", 2.0, "the factor of the labels' term", minimum=0),
            Option(
                "estimator",
                "phsic",
                "plausible HSIC, kernels about their mean; or biased HSIC, kernels about the means of their rows",
                choices=("phsic", "hsic"),
            ),
        ),
        look=Look("purple", "hexagon", "dashed"),
    )

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """As every local rule's; average pooling too belongs to the unit before it, unless it leaves single numbers."""
        from asapbench.rules.engine.units import named_units

        return named_units([flow.behind_pool(unit.end) for unit in super().units(model, flow)], flow)

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The bottleneck's loss of one unit. Raises GraphError where its outputs are too few to be grouped."""
        from asapbench.rules.engine.bottleneck import Bottleneck, groups_of

        gaussian = self.choice.text("kernel") == "gaussian"
        return Bottleneck(
            classes,
            gaussian=gaussian,
            sigma=self.choice.number("sigma"),
            groups=groups_of(shape, self.choice.integer("groups"), gaussian=gaussian, name=name),
            power=self.choice.number("power"),
            delta=self.choice.number("delta"),
            gamma=self.choice.number("gamma"),
            biased=self.choice.text("estimator") == "hsic",
        )
