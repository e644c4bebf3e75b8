"""Local errors (Mostafa, Ramesh and Cauwenberghs 2018): fixed random classifiers behind the units train them.

Behind each unit: average pool to 2x2 and a fully connected classifier whose weights M are random and never trained. The
error of its cross-entropy comes back to the unit through M^T, through sign(M) times random sizes, or through an
independent random matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.local import LocalRule
from asapbench.rules.options import unit
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    import torch

    from asapbench.rules.engine.local import Head


class LocalErrors(LocalRule):
    """Own input, plain autograd inside a unit, whose error comes from a fixed random classifier."""

    entry = RuleEntry(
        "local_errors",
        "Local errors",
        "Mostafa, Ramesh, Cauwenberghs 2018",
        options=(
            unit("conv"),
            Option(
                "feedback",
                "transpose",
                "what the error comes back through from a fixed classifier: its transpose, its signs with random "
                "sizes, or an independent random matrix",
                choices=("transpose", "sign", "random"),
            ),
        ),
        look=Look("blue", "plus", "dashed"),
    )

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The fixed classifier of one unit."""
        import torch

        from asapbench.randomness import fan_in_uniform
        from asapbench.rules.engine.local import FixedClassifier, pooled_features

        weight, back = (torch.empty(classes, pooled_features(shape)) for _ in range(2))
        fan_in_uniform(weight, seed=seed, purpose="classifier", name=name)
        fan_in_uniform(back, seed=seed, purpose="classifier feedback", name=name)
        feedback = {"transpose": None, "sign": weight.sign() * back.abs(), "random": back}
        return FixedClassifier(weight, feedback[self.choice.text("feedback")])
