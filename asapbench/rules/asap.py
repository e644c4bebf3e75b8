"""Activation Sharing with Asymmetric Paths (Woo et al. 2021, Algorithm 1, eq. 47, D.1, D.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.options import (
    CLASSIFIER,
    FEEDBACK_INIT,
    FORM,
    LINEAR_FEEDBACK,
    MATCHING,
    STEM,
    K,
    explicit_feedback,
    linear_path,
    stem_of,
)
from asapbench.rules.sharing import shared_activations
from asapbench.suite.entries import PAPER, Look, RuleEntry

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


class ASAP(Rule):
    """dW = dB = delta h_shared^T, the error through B; c0 stays random, fully connected layers by FA."""

    entry = RuleEntry(
        "asap",
        "ASAP",
        f"{PAPER}, Algorithm 1, eq. 47",
        options=(K, MATCHING, STEM, CLASSIFIER, LINEAR_FEEDBACK, FEEDBACK_INIT, FORM),
        needs="convolutions",
        extra_weights=explicit_feedback,
        look=Look("vermillion", "square"),
        stored_activations="shared",
    )

    @property
    def declares(self) -> Declares:
        """Shared activation, learned feedback."""
        linear, stem = linear_path(self.choice), stem_of(self.choice)
        return Declares(update="shared", error_path="learned", linear=linear, stem=stem)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Each convolution's shared activation by its group; the stem and the classifier as the options say."""
        init, matching = self.choice.text("feedback_init"), self.choice.text("matching")
        shared = shared_activations(flow, self.choice.integer("k"))
        plans = {name: LayerPlan("learned", node, init, matching=matching) for name, node in shared.items()}
        trained = self.declares.stem == "trained"
        plans[flow.main[0].name] = LayerPlan("learned" if trained else "fixed", init=init, trained=trained)
        linear = LayerPlan(linear_path(self.choice), init=self.choice.text("linear_feedback"))
        return plans | {layer.name: linear for layer in flow.linears}
