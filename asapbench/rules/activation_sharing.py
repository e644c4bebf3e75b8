"""Activation sharing with weight transport: ASAP's weight gradients, backpropagation's error path.

Fully connected layers are backpropagation's too, so that the rule differs from it in activation sharing alone. The
released code trains them by FA: `classifier`.
"""

from __future__ import annotations

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow
from asapbench.rules.sharing import shared_activations


class ActivationSharing(Rule):
    """dW = delta h_shared^T, the error through W^T; fully connected layers by backpropagation or FA."""

    name = "as"

    @property
    def declares(self) -> Declares:
        """Shared activation, transported weights."""
        return Declares(update="shared", error_path="transport", linear=self.linear_path, stem=self.stem)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Each convolution's shared activation by its group; the stem and the classifier as the options say."""
        shared = shared_activations(flow, self.choice.integer("k"))
        plans = {name: LayerPlan("transport", node) for name, node in shared.items()}
        plans[flow.main[0].name] = LayerPlan("transport", trained=self.stem == "trained")
        if self.linear_path == "fixed":
            plans |= {layer.name: LayerPlan("fixed", init="uniform") for layer in flow.linears}
        return plans
