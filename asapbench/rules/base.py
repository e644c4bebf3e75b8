"""What a rule says of itself, and how its plan is laid over a model's dataflow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import fx, nn

from asapbench.rules.graph import Dataflow, WeightLayer
from asapbench.rules.layers import Feedback, FeedbackLayer
from asapbench.rules.learner import Learner
from asapbench.rules.matching import matcher
from asapbench.suite.options import Choice

ErrorPath = Literal["transport", "fixed", "learned", "projected"]
Stem = Literal["trained", "fixed"]


@dataclass(frozen=True)
class Declares:
    """What the conformance suite holds a rule to.

    `update`: the source of a layer's dW. `error_path`: what carries the error through convolutions.
    `linear`: the same for fully connected layers. `stem`: whether the first convolution is trained.
    """

    update: Literal["own", "shared", "approximate"]
    error_path: ErrorPath
    linear: ErrorPath
    stem: Stem


@dataclass(frozen=True)
class LayerPlan:
    """How one layer is trained. `shared`: the node whose tensor takes the place of its input in dW."""

    feedback: Feedback
    shared: fx.Node | None = None
    init: str = "random"
    trained: bool = True


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
    def matching(self) -> str:
        """How a shared activation is fitted to a layer."""
        return str(dict(self.choice.options).get("matching", "max"))

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        """The model with this rule attached; feedback weights are drawn from `seed`."""
        plans = self.plan(flow)
        layers: dict[str, FeedbackLayer] = {}
        matched: dict[tuple[str, ...], fx.Node] = {}
        for layer in flow.layers:
            plan = plans.get(layer.name)
            if plan is None:
                continue
            if not plan.trained:
                layer.module.requires_grad_(False)
            if plan.feedback == "transport" and plan.shared is None:
                continue
            if not layer.carries_error and plan.shared is None:
                continue
            layers[layer.name] = self._replace(flow, layer, plan, matched, seed)
        flow.program.graph.lint()
        flow.program.recompile()
        return Learner(model, flow.program, layers)

    def _replace(
        self,
        flow: Dataflow,
        layer: WeightLayer,
        plan: LayerPlan,
        matched: dict[tuple[str, ...], fx.Node],
        seed: int,
    ) -> FeedbackLayer:
        replacement = FeedbackLayer(layer.module, plan.feedback)
        replacement.draw(init=plan.init, seed=seed, name=layer.name)
        target = f"feedback_{layer.name.replace('.', '_')}"
        flow.program.add_submodule(target, replacement)
        if plan.shared is not None:
            layer.node.args = (layer.node.args[0], self._matched(flow, layer, plan.shared, matched, seed))
        layer.node.target = target
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
