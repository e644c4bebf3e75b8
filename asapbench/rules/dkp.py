"""Direct Kolen-Pollack (Webster, Choi, Ahn 2021): direct feedback alignment whose projections learn.

As `dfa`, but the B of each tap h gets the gradient e^T h: what a layer that led straight from h to the output would
learn. Under weight decay B comes to estimate the path from h to the output, as Kolen and Pollack's feedback weights
come to equal W. B starts Kaiming-uniform, U(+-sqrt(6 / units)), as in the authors' program.

In front of a global average pool this estimate is too large by the number of positions, which the pool divides by and
e^T h does not: on such networks rates must be small. The authors' networks have none.

B is trained by the cell's optimizer, learning rate and weight decay. The authors' program has Adam for B beside SGD for
the network, both with a weight decay of 1e-6: `optimizer = { name = "adam", weight_decay = 1e-6 }` is the closest.

Published: CIFAR-10, two convolutions of 32 channels with BatchNorm and a hidden layer of 128, 50 epochs, mean of 4:
67.52 % (DFA 61.02, BP 70.47), in the README of the authors' program until 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, ErrorPath, Rule
from asapbench.suite.entries import Look, RuleEntry

if TYPE_CHECKING:
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.projected_error import ProjectedLearner


class DirectKolenPollack(Rule):
    """dW from the layer's own input, the error projected to each tap by a learned B."""

    entry = RuleEntry(
        "dkp",
        "DKP",
        "Webster, Choi, Ahn 2021",
        projects_errors=True,
        learns_projections=True,
        look=Look("green", "pentagon", "dash-dot"),
    )

    @property
    def declares(self) -> Declares:
        """Own input, a learned projection."""
        path: ErrorPath = "learned_projection"
        return Declares(update="own", error_path=path, linear=path, stem="trained")

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> ProjectedLearner:
        """The model cut behind each tap. Raises GraphError where there is no activation."""
        from asapbench.rules.engine.projected_error import kaiming_by_units, projected

        return projected(model, flow, seed, rule=self.entry.name, draw=kaiming_by_units, learned=True)
