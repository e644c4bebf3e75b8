"""Direct random target projection (Frenkel, Lefebvre, Bol 2021, arXiv 1909.01311): labels in place of the output error.

As direct feedback alignment (`dfa`), but the gradient at every tap is y* B with the one-hot label y* and a fixed B,
Kaiming-uniform: U(+-sqrt(6 / units)). No error leaves the output, whose layer alone learns by the loss. y* has the sign
that the authors' program gives it: what is descended is y* B, and a B of either sign does. Neither smoothed labels nor
another criterion change y*: they concern the output.

The program does not divide y* B by the batch size, while the output's loss is a mean: `reduction = "sum"`. By default
it is divided, so that hidden layers learn at a rate that does not grow with the batch, as under every other rule. The
program's taps lie in front of the max-pool, those here behind it, as under `dfa`.

Published, by Kao and Hariharan 2024 (Counter-Current Learning, Table 1), on fully connected networks with tanh: 92.16 %
on MNIST and 33.85 % on CIFAR-10 (DFA 97.27 and 42.86, BP 98.19 and 50.03). The authors' own table could not be had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.projected_error import ProjectedLearner


class DRTP(Rule):
    """dW from the layer's own input, the label projected to each tap."""

    entry = RuleEntry(
        "drtp",
        "DRTP",
        "Frenkel, Lefebvre, Bol 2021",
        options=(
            Option(
                "reduction",
                "mean",
                "the projected labels over the batch size, as errors of a mean loss are; or as they are, as published",
                choices=("mean", "sum"),
            ),
        ),
        projects_errors=True,
        look=Look("sky", "triangle-up", "dash-dot"),
    )

    @property
    def declares(self) -> Declares:
        """Own input, projected labels."""
        return Declares(update="own", error_path="labels", linear="labels", stem="trained")

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> ProjectedLearner:
        """The model cut behind each tap. Raises GraphError where there is no activation."""
        from asapbench.rules.engine.projected_error import kaiming_by_units, labels, mean_labels, projected

        signal = {"mean": mean_labels, "sum": labels}[self.choice.text("reduction")]
        return projected(model, flow, seed, rule=self.entry.name, signal=signal, draw=kaiming_by_units)
