"""Feedback alignment (Lillicrap et al. 2016): the error travels through fixed random weights."""

from __future__ import annotations

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow


class FA(Rule):
    """dW from the layer's own input, the error through a fixed B."""

    name = "fa"

    @property
    def declares(self) -> Declares:
        """Own input, fixed feedback."""
        return Declares(update="own", error_path="fixed", linear="fixed", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Every layer alike."""
        init = {True: self.choice.text("feedback_init"), False: self.choice.text("linear_feedback")}
        return {layer.name: LayerPlan("fixed", init=init[layer.is_convolution]) for layer in flow.layers}
