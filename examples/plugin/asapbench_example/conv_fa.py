"""Feedback alignment in convolutions, backpropagation in fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.options import FEEDBACK_INIT
from asapbench.suite.entries import RuleEntry

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


class ConvFA(Rule):
    """dW from the layer's own input; the error through a fixed B in convolutions, through W^T in other layers."""

    entry = RuleEntry(
        "conv_fa",
        "Conv-FA",
        "feedback alignment in convolutions alone",
        options=(FEEDBACK_INIT,),
        needs="convolutions",
    )

    @property
    def declares(self) -> Declares:
        """Own input, fixed feedback in convolutions."""
        return Declares(update="own", error_path="fixed", linear="transport", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Plain autograd trains the layers that are left out."""
        plan = LayerPlan("fixed", init=self.choice.text("feedback_init"))
        return {layer.name: plan for layer in flow.layers if layer.is_convolution}
