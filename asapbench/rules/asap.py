"""Activation Sharing with Asymmetric Paths (Woo et al. 2021, Algorithm 1, eq. 47, D.1, D.2)."""

from __future__ import annotations

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow
from asapbench.rules.sharing import shared_activations


class ASAP(Rule):
    """dW = dB = delta h_shared^T, the error through B; c0 stays random, fully connected layers by FA."""

    name = "asap"

    @property
    def declares(self) -> Declares:
        """Shared activation, learned feedback."""
        return Declares(update="shared", error_path="learned", linear=self.linear_path, stem=self.stem)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Each convolution's shared activation by its group; the stem and the classifier as the options say."""
        init = self.choice.text("feedback_init")
        shared = shared_activations(flow, self.choice.integer("k"))
        plans = {name: LayerPlan("learned", node, init) for name, node in shared.items()}
        trained = self.stem == "trained"
        plans[flow.main[0].name] = LayerPlan("learned" if trained else "fixed", init=init, trained=trained)
        linear = LayerPlan(self.linear_path, init=self.choice.text("linear_feedback"))
        return plans | {layer.name: linear for layer in flow.linears}
