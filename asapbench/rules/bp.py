"""Backpropagation: the control. The model's own autograd, unchanged."""

from __future__ import annotations

from asapbench.rules.base import Declares, Rule
from asapbench.suite.entries import Look, RuleEntry


class BP(Rule):
    """dW from the layer's own input, the error through W^T."""

    entry = RuleEntry("bp", "BP", "backpropagation, the control", look=Look("ink", "circle"), stored_activations="all")

    @property
    def declares(self) -> Declares:
        """Own input, transported weights."""
        return Declares(update="own", error_path="transport", linear="transport", stem="trained")
