"""Kolen-Pollack (Akrout et al. 2019): B is drawn independently and gets W's gradient, so W - B decays."""

from __future__ import annotations

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow


class KP(Rule):
    """dW = dB from the layer's own input, the error through B; fully connected layers by FA or KP."""

    name = "kp"

    @property
    def declares(self) -> Declares:
        """Own input, learned feedback."""
        return Declares(update="own", error_path="learned", linear=self.linear_path, stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Convolutions learn B; fully connected layers as the option says."""
        linear = LayerPlan(self.linear_path, init=self.choice.text("linear_feedback"))
        convolution = LayerPlan("learned", init=self.choice.text("feedback_init"))
        return {layer.name: convolution if layer.is_convolution else linear for layer in flow.layers}
