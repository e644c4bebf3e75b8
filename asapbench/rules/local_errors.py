"""Local errors (Mostafa, Ramesh and Cauwenberghs 2018): fixed random classifiers behind the units train them.

Behind each unit: average pool to 2x2 and a fully connected classifier whose weights M are random and never trained. The
error of its cross-entropy comes back to the unit through M^T, through sign(M) times random sizes, or through an
independent random matrix.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from asapbench.randomness import fan_in_uniform
from asapbench.rules.functions import FeedbackLinear
from asapbench.rules.local import Head, LocalRule, pooled, pooled_features


class LocalErrors(LocalRule):
    """Own input, plain autograd inside a unit, whose error comes from a fixed random classifier."""

    name = "local_errors"

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The fixed classifier of one unit."""
        weight, back = (torch.empty(classes, pooled_features(shape)) for _ in range(2))
        fan_in_uniform(weight, seed=seed, purpose="classifier", name=name)
        fan_in_uniform(back, seed=seed, purpose="classifier feedback", name=name)
        feedback = {"transpose": None, "sign": weight.sign() * back.abs(), "random": back}
        return FixedClassifier(weight, feedback[self.choice.text("feedback")])


class FixedClassifier(Head):
    """Cross-entropy of M pooled(h); the error comes back through `feedback`, or through M itself where it is None."""

    def __init__(self, weight: Tensor, feedback: Tensor | None) -> None:
        super().__init__()
        self.weight: Tensor
        self.feedback: Tensor | None
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("feedback", feedback, persistent=False)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        if self.feedback is None:
            return self.criterion(F.linear(pooled(h), self.weight), y)
        logits: Tensor = FeedbackLinear.apply(pooled(h), self.weight, None, self.feedback, None, None)
        return self.criterion(logits, y)
