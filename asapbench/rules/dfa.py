"""Direct feedback alignment (Nøkland 2016): each activation's error is the output error through a fixed random B.

The output error e is the gradient of the loss at the logits: of cross-entropy softmax(logits) - target, over the batch
size. It replaces the gradient at every tap (the outputs of activations, moved past a max-pool that follows directly) by
e B, B normal with variance 1 / classes. Between taps the exact derivative applies. The last layer is trained by its
own, exact error.

`error = "sign"` is sDFA (Frenkel, Lefebvre, Bol 2021): sign(e) over the batch size in place of e.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.projected_error import ProjectedLearner


class DFA(Rule):
    """dW from the layer's own input, the error projected from the output to each tap."""

    entry = RuleEntry(
        "dfa",
        "DFA",
        "Nøkland 2016",
        options=(
            Option("error", "exact", "the output error, or its sign alone, as sDFA does", choices=("exact", "sign")),
        ),
        projects_errors=True,
        look=Look("purple", "triangle-down"),
    )

    @property
    def declares(self) -> Declares:
        """Own input, projected output error."""
        return Declares(update="own", error_path="projected", linear="projected", stem="trained")

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> ProjectedLearner:
        """The model cut behind each tap. Raises GraphError where there is no activation."""
        from asapbench.rules.engine.criterion import error_at_logits
        from asapbench.rules.engine.projected_error import projected, sign_of_error

        signals = {"exact": error_at_logits, "sign": sign_of_error}
        return projected(model, flow, seed, rule=self.entry.name, signal=signals[self.choice.text("error")])
