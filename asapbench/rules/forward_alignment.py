"""Forward Alignment (Woo et al. 2021, A.1, A.2): weight gradients from approximate activations, the error through W^T.

Layer l has a fixed random C_l of W_l's shape, and h~_l = phi~(C_l h_(l-1)) stands for its activation h_l in the weight
gradient of the layer behind it (eq. 26). The first layer uses its input x itself; the last one needs no C. The error
takes backpropagation's path (eq. 27). Fully connected networks only, one layer behind the other.

The paper defines h~ = C x, without a bias, for a linear network. phi~ is what this project makes of the BatchNorm and
the activation behind a layer, by the option `approximate`; where there is neither, all its values are one. With C = W
`affine` and `own` are backpropagation. The approximate path reads the model and leaves no trace in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, Rule
from asapbench.suite.entries import PAPER, Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from torch import nn

    from asapbench.rules.engine.approximate import ForwardAlignmentLearner
    from asapbench.rules.engine.graph import Dataflow


class ForwardAlignment(Rule):
    """dW = delta h~^T, the error through W^T."""

    entry = RuleEntry(
        "forward_alignment",
        "Forward Alignment",
        f"{PAPER}, A.1, A.2",
        options=(
            Option(
                "source",
                "activation",
                "what C of a layer is applied to: the activation before the layer, or the approximation of that "
                "activation",
                choices=("activation", "approximation"),
            ),
            Option(
                "approximate",
                "linear",
                "what follows C h in a nonlinear network: BatchNorm without scale and shift, then the activation "
                "(normalised); BatchNorm with the layer's scale and shift (affine); the layer's own BatchNorm, "
                "statistics of the real W h + b included (own); BatchNorm without scale and shift, no activation "
                "(linear); nothing (none)",
                choices=("normalised", "affine", "own", "linear", "none"),
            ),
        ),
        needs="linear",
        look=Look("green", "hexagon", "dotted"),
    )

    @property
    def declares(self) -> Declares:
        """Approximate activation, transported weights."""
        return Declares(update="approximate", error_path="transport", linear="transport", stem="trained")

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> ForwardAlignmentLearner:
        """The model with the approximate path beside it. Raises GraphError, naming what is not a plain chain."""
        from asapbench.rules.engine.approximate import approximated

        how, of_activation = self.choice.text("approximate"), self.choice.text("source") == "activation"
        return approximated(model, flow, seed, how=how, of_activation=of_activation)
