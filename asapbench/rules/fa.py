"""Feedback alignment (Lillicrap et al. 2016): the error travels through fixed random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.options import FEEDBACK_INIT, LINEAR_FEEDBACK
from asapbench.suite.entries import Look, RuleEntry

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


class FA(Rule):
    """dW from the layer's own input, the error through a fixed B."""

    entry = RuleEntry(
        "fa",
        "FA",
        "Lillicrap et al. 2016",
        options=(LINEAR_FEEDBACK, FEEDBACK_INIT),
        look=Look("blue", "diamond"),
        stored_activations="all",
    )

    @property
    def declares(self) -> Declares:
        """Own input, fixed feedback."""
        return Declares(update="own", error_path="fixed", linear="fixed", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Every layer alike."""
        init = {True: self.choice.text("feedback_init"), False: self.choice.text("linear_feedback")}
        return {layer.name: LayerPlan("fixed", init=init[layer.is_convolution]) for layer in flow.layers}
