"""ASFP with local classifiers (Woo et al. 2021, App. B): a trained classifier behind each unit, itself trained by FA.

Behind each unit: average pool to 2x2 and a fully connected layer. c0 is random, so nothing but its BatchNorm learns
before the first block: the two are one unit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asapbench.rules.asfp import ASFP
from asapbench.rules.base import Declares
from asapbench.rules.local import LocalRule
from asapbench.rules.options import linear_path, stem_of
from asapbench.suite.entries import PAPER, Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    import torch
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.local import Head
    from asapbench.rules.engine.units import Unit


class ASFPLocal(ASFP, LocalRule):
    """dW = delta h^T, dB = delta h_shared^T; delta comes from the unit's classifier, or from all and the output."""

    entry = RuleEntry(
        "asfp_lc",
        "ASFP+LC",
        f"{PAPER}, App. B: ASFP with local classifiers",
        options=(
            *ASFP.entry.options,
            Option(
                "unit",
                "block",
                "what has a local classifier behind it: each block, or each group of k convolutions that share an "
                "activation",
                choices=("block", "group"),
            ),
            Option(
                "loss",
                "local",
                "the losses of the local classifiers alone, units detached; or added to that of the output",
                choices=("local", "added"),
            ),
        ),
        needs="convolutions",
        extra_weights=0.6,
        look=Look("sky", "cross", "dashed"),
    )

    @property
    def declares(self) -> Declares:
        """As ASFP, with local losses alone or in addition."""
        return replace(super().declares, loss="local" if self.choice.text("loss") == "local" else "both")

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """Blocks, or ASAP's groups of k convolutions (c0 and c1, then k at a time); hidden fully connected layers."""
        from asapbench.rules.engine.units import end_before, named_units, units_of

        if self.choice.text("unit") == "group":
            starts = (*flow.main[2 :: self.choice.integer("k")], *flow.linears)
            return named_units([end_before(layer, flow) for layer in starts], flow)
        units = units_of("block", model, flow)
        stem = tuple(layer.name for layer in flow.main[:1])
        if stem_of(self.choice) == "fixed" and [unit.layers for unit in units[:1]] == [stem]:
            return named_units([unit.end for unit in units[1:]], flow)
        return units

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The trained classifier of one unit."""
        from asapbench.rules.engine.local import trained_classifier

        init = self.choice.text("linear_feedback")
        return trained_classifier(shape, classes, feedback=linear_path(self.choice), init=init, seed=seed, name=name)
