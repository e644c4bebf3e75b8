"""ASFP with local classifiers (Woo et al. 2021, App. B): a trained classifier behind each unit, itself trained by FA.

Behind each unit: average pool to 2x2 and a fully connected layer. c0 is random, so nothing but its BatchNorm learns
before the first block: the two are one unit.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from asapbench.rules.asfp import ASFP
from asapbench.rules.base import Declares
from asapbench.rules.graph import Dataflow
from asapbench.rules.layers import FeedbackLayer
from asapbench.rules.local import Head, LocalRule, draw_layers, pooled, pooled_features, undrawn
from asapbench.rules.units import Unit, end_before, named_units, units_of


class ASFPLocal(ASFP, LocalRule):
    """dW = delta h^T, dB = delta h_shared^T; delta comes from the unit's classifier, or from all and the output."""

    name = "asfp_lc"

    @property
    def declares(self) -> Declares:
        """As ASFP, with local losses alone or in addition."""
        return replace(super().declares, loss="local" if self.choice.text("loss") == "local" else "both")

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """Blocks, or ASAP's groups of k convolutions (c0 and c1, then k at a time); hidden fully connected layers."""
        if self.choice.text("unit") == "group":
            starts = (*flow.main[2 :: self.choice.integer("k")], *flow.linears)
            return named_units([end_before(layer, flow) for layer in starts], flow)
        units = units_of("block", model, flow)
        stem = tuple(layer.name for layer in flow.main[:1])
        if self.stem == "fixed" and [unit.layers for unit in units[:1]] == [stem]:
            return named_units([unit.end for unit in units[1:]], flow)
        return units

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The trained classifier of one unit."""
        layer = undrawn(nn.Linear, pooled_features(shape), classes)
        classifier = FeedbackLayer(layer, self.linear_path)
        classifier.draw(init=self.choice.text("linear_feedback"), seed=seed, name=f"{name}.classifier")
        return draw_layers(TrainedClassifier(classifier), seed=seed, name=name)


class TrainedClassifier(Head):
    """Cross-entropy of W pooled(h) + b; the error comes back through the classifier's B."""

    def __init__(self, classifier: FeedbackLayer) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        return self.criterion(self.classifier(pooled(h)), y)
