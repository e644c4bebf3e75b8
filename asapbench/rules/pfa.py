"""Product feedback alignment (Li and Benna 2024): the error travels through a fixed and a learned matrix in turn.

Between a layer's outputs and its inputs, the error passes units of its own: delta_units = B^T delta by a fixed random
B, then delta_x = R^T delta_units. W has the gradient delta x^T, R has delta_units x^T, both from the layer's own input.
With weight decay W turns towards B R, and no two units are connected in both directions with weights that agree. B has
variance 1 / units, so that B B^T is near the identity, the nearer the more units there are. In a convolution B acts on
channels, within a group where it is grouped. All layers have such a path, fully connected ones too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


def _expansion(choice: Choice) -> float:
    return float(choice.integer("expansion"))


class PFA(Rule):
    """dW from the layer's own input, the error through the product of a fixed matrix with a learned one."""

    entry = RuleEntry(
        "pfa",
        "PFA",
        "Li and Benna 2024",
        options=(
            Option("expansion", 10, "units between the outputs and the inputs on the way back, in outputs", minimum=1),
        ),
        extra_weights=_expansion,
        look=Look("vermillion", "diamond", "dash-dot"),
    )

    @property
    def declares(self) -> Declares:
        """Own input, a product."""
        return Declares(update="own", error_path="product", linear="product", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Every layer alike."""
        from asapbench.rules.engine.product import ProductFeedback

        made = partial(ProductFeedback, expansion=self.choice.integer("expansion"))
        return {layer.name: LayerPlan("learned", made=made) for layer in flow.layers}
