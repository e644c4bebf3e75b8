"""Backpropagation: the control. The model's own autograd, unchanged."""

from __future__ import annotations

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow


class BP(Rule):
    """dW from the layer's own input, the error through W^T."""

    name = "bp"

    @property
    def declares(self) -> Declares:
        """Own input, transported weights."""
        return Declares(update="own", error_path="transport", linear="transport", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """No layer differs from plain autograd."""
        return {}
