"""Kolen-Pollack (Akrout et al. 2019): B is drawn independently and gets W's gradient, so W - B decays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.options import CLASSIFIER, FEEDBACK_INIT, FORM, LINEAR_FEEDBACK, explicit_feedback, linear_path
from asapbench.suite.entries import Look, RuleEntry

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


class KP(Rule):
    """dW = dB from the layer's own input, the error through B; fully connected layers by FA or KP."""

    entry = RuleEntry(
        "kp",
        "KP",
        "Kolen and Pollack 1994; Akrout et al. 2019",
        options=(CLASSIFIER, LINEAR_FEEDBACK, FEEDBACK_INIT, FORM),
        extra_weights=explicit_feedback,
        look=Look("green", "triangle-up"),
        stored_activations="all",
    )

    @property
    def declares(self) -> Declares:
        """Own input, learned feedback."""
        return Declares(update="own", error_path="learned", linear=linear_path(self.choice), stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Convolutions learn B; fully connected layers as the option says."""
        linear = LayerPlan(linear_path(self.choice), init=self.choice.text("linear_feedback"))
        convolution = LayerPlan("learned", init=self.choice.text("feedback_init"))
        return {layer.name: convolution if layer.is_convolution else linear for layer in flow.layers}
