"""Weight mirror (Akrout et al. 2019): between training steps B learns from noise to be proportional to W.

Before each training step every layer alone gets noise x of zero mean, and B grows by eta y x^T, where y = W x is the
layer's response. On average that is eta amplitude^2 W, so B turns towards W, of which it is given nothing. A decay
bounds B (Kunin et al. 2020): B <- (1 - decay) B + eta <y x^T> tends to (eta amplitude^2 / decay) W, with the options'
defaults to W itself. The error then travels through B, and dW is formed from the layer's own input.

The authors' program is for fully connected networks. There noise passes a layer with its bias and activation, and B
is to be scaled to a given size of its responses. For convolutions this rule mirrors the linear operator alone, as the
program of Kunin et al. does: maps of noise, without bias, BatchNorm and activation, <> being the mean over positions as
well, of which at most 8 x 8 are computed: the operator is the same at each. BatchNorm stays as it is: the error passes
it by its exact derivative.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


class WeightMirror(Rule):
    """dW from the layer's own input, the error through a B that mirrors W."""

    entry = RuleEntry(
        "weight_mirror",
        "weight mirror",
        "Akrout et al. 2019; Kunin et al. 2020",
        options=(
            Option("amplitude", 0.1, "standard deviation of the noise, which is uniform", above=0),
            Option("eta", 1.0, "mirror rate: what a mirror step adds to B, in units of the mean of y x^T", above=0),
            Option("decay", 0.01, "share of B that a mirror step takes away", minimum=0, below=1),
            Option("noise_batch", 64, "examples of noise in a mirror step", minimum=1),
            Option("mirror_steps", 1, "mirror steps before each training step", minimum=1),
        ),
        extra_weights=1.0,
        look=Look("blue", "triangle-down", "dash-dot"),
    )

    @property
    def declares(self) -> Declares:
        """Own input, a B that learns from noise."""
        return Declares(update="own", error_path="learned", linear="learned", stem="trained", feedback_update="noise")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Every layer alike."""
        from asapbench.rules.engine.mirror import MirrorFeedback, Mirroring

        mirroring = Mirroring(
            amplitude=self.choice.number("amplitude"),
            eta=self.choice.number("eta"),
            decay=self.choice.number("decay"),
            batch=self.choice.integer("noise_batch"),
            steps=self.choice.integer("mirror_steps"),
        )
        return {
            layer.name: LayerPlan(
                "learned", made=partial(MirrorFeedback, inputs=flow.shape(layer.input)[1:], mirroring=mirroring)
            )
            for layer in flow.layers
        }
