"""What a rule says of itself, and how its plan is laid over a model's dataflow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import fx, nn

from asapbench.rules.bitmask_relu import lean
from asapbench.rules.graph import Dataflow, WeightLayer
from asapbench.rules.layers import Feedback, FeedbackLayer, Sharing
from asapbench.rules.learner import Learner
from asapbench.rules.matching import Pooled, matcher
from asapbench.rules.program import compiled, put_in
from asapbench.suite.options import Choice

Source = Literal["own", "shared", "approximate"]
ErrorPath = Literal["transport", "fixed", "learned", "projected"]
Stem = Literal["trained", "fixed"]
Loss = Literal["global", "local", "both"]

_LINEAR_PATHS: dict[str, Feedback] = {"bp": "transport", "fa": "fixed", "kp": "learned"}
"""What carries the error through fully connected layers, by the option `classifier`."""


@dataclass(frozen=True)
class Declares:
    """What the conformance suite holds a rule to.

    `update`: the source of a layer's dW. `error_path`: what carries the error through convolutions.
    `linear`: the same for fully connected layers. `stem`: whether the first convolution is trained.
    `feedback_update`: the source of a learned B's gradient, where it is not that of dW. `loss`: where the error comes
    from: the output, or the losses of units that no error enters or leaves, or both without such boundaries.
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

    `shared`: the node whose tensor takes the place of its input in dW and dB, or, as `sharing` says, in dB alone.
    """

    feedback: Feedback
    shared: fx.Node | None = None
    init: str = "random"
    trained: bool = True
    sharing: Sharing = "both"


class Rule(ABC):
    """One learning rule with its options. A subclass names its catalog entry and plans each layer."""

    name: ClassVar[str]

    def __init__(self, choice: Choice) -> None:
        self.choice = choice

    @property
    @abstractmethod
    def declares(self) -> Declares:
        """What this rule, with its options, promises."""

    @abstractmethod
    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """The plan of each layer that is not trained by plain autograd, by name."""

    @property
    def linear_path(self) -> Feedback:
        """What carries the error through fully connected layers."""
        return _LINEAR_PATHS[self.choice.text("classifier")]

    @property
    def stem(self) -> Stem:
        """Whether the first convolution is trained, by the option `stem`."""
        return "trained" if self.choice.text("stem") == "trained" else "fixed"

    @property
    def matching(self) -> str:
        """How a shared activation is fitted to a layer."""
        return str(dict(self.choice.options).get("matching", "max"))

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        """The model with this rule attached; feedback weights are drawn from `seed`."""
        layers = self.feedback_layers(flow, seed)
        return Learner(model, compiled(flow.program), layers)

    def feedback_layers(self, flow: Dataflow, seed: int) -> dict[str, FeedbackLayer]:
        """Puts feedback layers into the program as planned, and gives them back by the names of their layers."""
        plans = self.plan(flow)
        layers: dict[str, FeedbackLayer] = {}
        matched: dict[tuple[str, ...], fx.Node] = {}
        for layer in flow.layers:
            plan = plans.get(layer.name)
            if plan is None:
                continue
            if not plan.trained:
                layer.module.requires_grad_(False)
            if _is_plain(layer, plan):
                continue
            layers[layer.name] = self._replace(flow, layer, plan, matched, seed)
        sharing = [layer.node for layer in flow.layers if _keeps_no_input(plans.get(layer.name))]
        lean(flow.program, [*sharing, *(node for node in matched.values() if _copies(node, flow))])
        return layers

    def _replace(
        self,
        flow: Dataflow,
        layer: WeightLayer,
        plan: LayerPlan,
        matched: dict[tuple[str, ...], fx.Node],
        seed: int,
    ) -> FeedbackLayer:
        replacement = FeedbackLayer(layer.module, plan.feedback, plan.sharing)
        replacement.draw(init=plan.init, seed=seed, name=layer.name)
        if plan.shared is not None:
            layer.node.args = (layer.node.args[0], self._matched(flow, layer, plan.shared, matched, seed))
        layer.node.target = put_in(replacement, flow.program, kind="feedback", layer=layer.name)
        return replacement

    def _matched(
        self,
        flow: Dataflow,
        layer: WeightLayer,
        shared: fx.Node,
        matched: dict[tuple[str, ...], fx.Node],
        seed: int,
    ) -> fx.Node:
        """The node of the shared activation made to fit `layer`, made once for layers that need the same."""
        assert isinstance(layer.module, nn.Conv2d)
        wanted = flow.shape(layer.input)
        key: tuple[str, ...] = (shared.name, *map(str, wanted[1:]), str(layer.module.groups))
        if self.matching == "random":
            key = (layer.name,)
        if key not in matched:
            module = matcher(self.matching, flow.shape(shared), wanted, layer=layer.module, seed=seed, name=layer.name)
            target = f"matched_{len(matched)}"
            flow.program.add_submodule(target, module)
            with flow.program.graph.inserting_after(shared):
                matched[key] = flow.program.graph.call_module(target, (shared,))
        return matched[key]


def _copies(node: fx.Node, flow: Dataflow) -> bool:
    """Whether what a node gives out is not the memory that it reads, or a part of it."""
    module = flow.program.get_submodule(str(node.target))
    return not isinstance(module, Pooled) or module.size != tuple(flow.shape(node.all_input_nodes[0])[2:])


def _keeps_no_input(plan: LayerPlan | None) -> bool:
    """Whether a layer keeps its shared activation for backward in place of its own input."""
    return plan is not None and plan.shared is not None and plan.sharing == "both"


def _is_plain(layer: WeightLayer, plan: LayerPlan) -> bool:
    """Whether plain autograd gives what the plan asks for: no B that anything travels through, and dW of its own."""
    if _keeps_no_input(plan):
        return False
    return plan.feedback == "transport" or not layer.carries_error
