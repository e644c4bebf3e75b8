"""Sign-symmetry (Liao, Leibo and Poggio 2016; Xiao et al. 2019): the error travels through the signs of the weights.

B = M sign(W), with dW from the layer's own input. usf: M is one number for each layer, the standard deviation of
Kaiming-uniform weights with a = sqrt 5. frsf: M is the size of a draw from those, made once. brsf: drawn again for
every batch. All layers have such a B, fully connected ones too, as in BioTorch (Sanfiz and Akrout 2021). A sign is one
bit of its weight: this is weight transport in part.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.signs import Sizes

_SIZES: dict[str, Sizes] = {"usf": "uniform", "brsf": "redrawn", "frsf": "fixed"}


class SignSymmetry(Rule):
    """dW from the layer's own input, the error through the signs of W."""

    entry = RuleEntry(
        "sign_symmetry",
        "sign-symmetry",
        "Liao et al. 2016; Xiao et al. 2019",
        options=(
            Option(
                "variant",
                "usf",
                "the sizes of the feedback weights, whose signs are the forward weights': one for each layer (usf), or "
                "one for each weight, drawn for every batch (brsf) or once (frsf)",
                choices=tuple(_SIZES),
            ),
        ),
        look=Look("sky", "circle"),
    )

    @property
    def declares(self) -> Declares:
        """Own input, the signs of W."""
        return Declares(update="own", error_path="signs", linear="signs", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Every layer alike."""
        from asapbench.rules.engine.signs import SignFeedback

        made = partial(SignFeedback, sizes=_SIZES[self.choice.text("variant")])
        return {layer.name: LayerPlan("signs", made=made) for layer in flow.layers}
