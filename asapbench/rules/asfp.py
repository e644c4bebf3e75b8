"""Activation Sharing in the Feedback Path (Woo et al. 2021, App. B, eq. 39-42)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asapbench.rules.asap import ASAP
from asapbench.rules.base import Declares, LayerPlan
from asapbench.rules.options import CLASSIFIER, FEEDBACK_INIT, LINEAR_FEEDBACK, MATCHING, STEM, K
from asapbench.suite.entries import PAPER, Look, RuleEntry

if TYPE_CHECKING:
    from asapbench.rules.engine.graph import Dataflow


class ASFP(ASAP):
    """dW = delta h^T, dB = delta h_shared^T: ASAP with its shared activations in the feedback weights alone."""

    entry = RuleEntry(
        "asfp",
        "ASFP",
        f"{PAPER}, App. B, eq. 39-42",
        options=(K, MATCHING, STEM, CLASSIFIER, LINEAR_FEEDBACK, FEEDBACK_INIT),
        needs="convolutions",
        extra_weights=1.0,
        look=Look("orange", "plus"),
    )

    @property
    def declares(self) -> Declares:
        """Own input for W, shared activation for B; the rest as ASAP."""
        return replace(super().declares, update="own", feedback_update="shared")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """ASAP's plan, with the shared activation in dB and not in dW."""
        return {name: replace(plan, sharing="feedback") for name, plan in super().plan(flow).items()}
