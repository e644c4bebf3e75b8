"""Activation sharing with weight transport: ASAP's weight gradients, backpropagation's error path.

Fully connected layers are backpropagation's too, so that the rule differs from it in activation sharing alone. The
released code trains them by FA: `classifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.options import MATCHING, STEM, K, linear_path, stem_of
from asapbench.rules.sharing import shared_activations
from asapbench.suite.entries import PAPER, Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow

_CLASSIFIER = Option(
    "classifier",
    "bp",
    "fully connected layers: backpropagation (bp), or fixed uniform(-1, 1) feedback as under the released --wt (fa)",
    choices=("bp", "fa"),
)


class ActivationSharing(Rule):
    """dW = delta h_shared^T, the error through W^T; fully connected layers by backpropagation or FA."""

    entry = RuleEntry(
        "as",
        "AS",
        f"{PAPER}: activation sharing with weight transport",
        options=(K, MATCHING, STEM, _CLASSIFIER),
        needs="convolutions",
        look=Look("vermillion", "pentagon", "dotted"),
        stored_activations="shared",
    )

    @property
    def declares(self) -> Declares:
        """Shared activation, transported weights."""
        linear, stem = linear_path(self.choice), stem_of(self.choice)
        return Declares(update="shared", error_path="transport", linear=linear, stem=stem)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Each convolution's shared activation by its group; the stem and the classifier as the options say."""
        shared, matching = shared_activations(flow, self.choice.integer("k")), self.choice.text("matching")
        plans = {name: LayerPlan("transport", node, matching=matching) for name, node in shared.items()}
        plans[flow.main[0].name] = LayerPlan("transport", trained=self.declares.stem == "trained")
        if linear_path(self.choice) == "fixed":
            plans |= {layer.name: LayerPlan("fixed", init="uniform") for layer in flow.linears}
        return plans
