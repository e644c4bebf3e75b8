"""PEPITA (Dellaferrera and Kreiman 2022, arXiv 2201.11665): a second forward pass in place of a backward pass.

The first pass gives the activations h_l and the output error e of each example. The second has the input x + F e, with
a fixed random F, and gives h_l^err. A hidden layer learns by

    dW_l = (h_l - h_l^err) (h_(l-1)^err)^T,        h_0^err = x + F e,

and the output layer by dW_L = e (h_(L-1)^err)^T, each a mean over the batch and, for a convolution, over its positions.
h_l is the output of the activation behind layer l and of a dropout that follows directly, in front of a pool; its
derivative takes no part. F is 0.05 U(+-sqrt(6 / inputs)), and both passes have the same dropout masks, as in the
authors' program.

The paper's networks have neither BatchNorm, biases nor shortcuts. Here the error h_l - h_l^err stands at the input of
the activation, and what lies between two activations is differentiated as it is (decision 0037). The rule is refused
where that would carry an error through the weights of another layer.

`output_error`: the paper and the program for convolutional networks take the first pass's e for the output layer, the
program for fully connected networks the second pass's.

Published: CIFAR-10, one hidden layer of 1024: 52.58 % in the authors' tutorial notebook, by suite `pepita`'s recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Option

if TYPE_CHECKING:
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.perturbed_input import PerturbedLearner


class Pepita(Rule):
    """dW from the change that the projected error makes, on its way forwards, and the changed input."""

    entry = RuleEntry(
        "pepita",
        "PEPITA",
        "Dellaferrera and Kreiman 2022",
        options=(
            Option("feedback_size", 0.05, "F in units of U(+-sqrt(6 / inputs))", minimum=0),
            Option(
                "output_error",
                "first",
                "the output layer learns from the error of the first pass, as printed, or of the second",
                choices=("first", "second"),
            ),
        ),
        needs_float32=True,
        look=Look("orange", "star", "dash-dot"),
    )

    @property
    def declares(self) -> Declares:
        """The changed input, an error that travels forwards from the input."""
        return Declares(update="perturbed", error_path="input", linear="input", stem="trained")

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> PerturbedLearner:
        """The model as two programs. Raises GraphError where a layer has no activation of its own behind it."""
        from asapbench.rules.engine.perturbed_input import perturbed

        size, second = self.choice.number("feedback_size"), self.choice.text("output_error") == "second"
        return perturbed(model, flow, seed, rule=self.entry.name, size=size, second_error=second)
