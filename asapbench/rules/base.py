"""The contract of a learning rule: what it declares, and its plan for each layer of a model. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from asapbench.suite.entries import RuleEntry
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from torch import fx, nn

    from asapbench.rules.engine.graph import Dataflow, WeightModule
    from asapbench.rules.engine.layers import FeedbackLayer
    from asapbench.rules.engine.learner import Learner

Source = Literal["own", "shared", "approximate", "perturbed", "noise"]
ErrorPath = Literal[
    "transport", "signs", "fixed", "learned", "product", "projected", "learned_projection", "labels", "input"
]
"""What carries the error to a layer.

`transport`: the forward weights W themselves. `signs`: the signs of W, with sizes of their own. `fixed`, `learned`: a
feedback weight B of the layer. `product`: a B that is the product of a fixed matrix with a learned one. `projected`,
`learned_projection`: a matrix that leads the output error to the layer directly. `labels`: a matrix that leads the
labels there, without any error. `input`: the error is added to the input of a second forward pass.
"""
Stem = Literal["trained", "fixed"]
Loss = Literal["global", "local", "both"]
Feedback = Literal["transport", "signs", "fixed", "learned"]
Sharing = Literal["both", "feedback"]
"""Which gradients a shared activation is the source of: dW and dB, or dB alone."""


@dataclass(frozen=True)
class Declares:
    """What the conformance suite holds a rule to.

    `update`: the source of a layer's dW. `error_path`: what carries the error through convolutions.
    `linear`: the same for fully connected layers. `stem`: whether the first convolution is trained.
    `feedback_update`: the source of a learned B's gradient, where it is not that of dW; from `noise` B learns between
    the steps. `loss`: where the error comes from: the output, or the losses of units that no error enters or leaves, or
    both without such boundaries.
    """

    update: Source
    error_path: ErrorPath
    linear: ErrorPath
    stem: Stem
    feedback_update: Source | None = None
    loss: Loss = "global"


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is trained.

    `shared`: the node whose tensor replaces the layer's input in dW and dB, or, as `sharing` says, in dB alone;
    `matching` says how it is made to fit: max, average or random. `made` makes the layer's feedback layer, where that
    is none that `feedback` alone describes: it takes the layer.
    """

    feedback: Feedback
    shared: fx.Node | None = None
    init: str = "random"
    trained: bool = True
    sharing: Sharing = "both"
    matching: str = "max"
    made: Callable[[WeightModule], FeedbackLayer] | None = None


class Rule(ABC):
    """One learning rule with its options. A subclass has its catalog entry as `entry`, and plans each layer."""

    entry: ClassVar[RuleEntry]

    def __init__(self, choice: Choice) -> None:
        self.choice = choice

    @property
    @abstractmethod
    def declares(self) -> Declares:
        """What this rule, with its options, promises."""

    @property
    def not_certified(self) -> str | None:
        """Why a certificate cannot judge the rule with these options, and what to check instead; else None."""
        return None

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """The plan of each layer that is not trained by plain autograd, by name: none, unless a rule says otherwise."""
        return {}

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        """The model with this rule attached; feedback weights are drawn from `seed`."""
        from asapbench.rules.engine.learner import Learner
        from asapbench.rules.engine.program import compiled
        from asapbench.rules.engine.rewrite import insert_feedback_layers

        layers = insert_feedback_layers(self.plan(flow), flow, seed)
        return Learner(model, compiled(flow.program), layers)
