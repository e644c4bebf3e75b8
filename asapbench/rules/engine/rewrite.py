"""A rule's plan laid over a captured program: feedback layers in the places of layers, shared activations matched."""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx, nn

from asapbench.rules.base import LayerPlan
from asapbench.rules.engine.bitmask_relu import lean
from asapbench.rules.engine.graph import Dataflow, WeightLayer
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.matching import Pooled, matcher
from asapbench.rules.engine.program import add_module


def insert_feedback_layers(plans: Mapping[str, LayerPlan], flow: Dataflow, seed: int) -> dict[str, FeedbackLayer]:
    """Puts feedback layers into the program as planned, and returns them by the names of their layers."""
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
        made = plan.made(layer.module) if plan.made else FeedbackLayer(layer.module, plan.feedback, plan.sharing)
        layers[layer.name] = made
        made.draw(init=plan.init, seed=seed, name=layer.name)
        if plan.shared is not None:
            layer.node.args = (layer.node.args[0], _matched(flow, layer, plan.shared, plan.matching, matched, seed))
        layer.node.target = add_module(made, flow.program, kind="feedback", layer=layer.name)
    sharing = [layer.node for layer in flow.layers if _keeps_no_input(plans.get(layer.name))]
    lean(flow.program, [*sharing, *(node for node in matched.values() if _copies(node, flow))])
    return layers


def _matched(
    flow: Dataflow,
    layer: WeightLayer,
    shared: fx.Node,
    matching: str,
    matched: dict[tuple[str, ...], fx.Node],
    seed: int,
) -> fx.Node:
    """The node of the shared activation made to fit `layer`, made once for layers that need the same."""
    assert isinstance(layer.module, nn.Conv2d)
    wanted = flow.shape(layer.input)
    key: tuple[str, ...] = (matching, shared.name, *map(str, wanted[1:]), str(layer.module.groups))
    if matching == "random":
        key = (matching, layer.name)
    if key not in matched:
        module = matcher(matching, flow.shape(shared), wanted, layer=layer.module, seed=seed, name=layer.name)
        target = f"matched_{len(matched)}"
        flow.program.add_submodule(target, module)
        with flow.program.graph.inserting_after(shared):
            matched[key] = flow.program.graph.call_module(target, (shared,))
    return matched[key]


def _copies(node: fx.Node, flow: Dataflow) -> bool:
    """Whether a matched activation is new memory, not the memory that its module reads or a part of it."""
    module = flow.program.get_submodule(str(node.target))
    return not isinstance(module, Pooled) or module.size != tuple(flow.shape(node.all_input_nodes[0])[2:])


def _keeps_no_input(plan: LayerPlan | None) -> bool:
    """Whether a layer keeps its shared activation for backward in place of its own input."""
    return plan is not None and plan.shared is not None and plan.sharing == "both"


def _is_plain(layer: WeightLayer, plan: LayerPlan) -> bool:
    """Whether plain autograd does what the plan asks for: no error travels through a B, and dW has its own source."""
    if _keeps_no_input(plan):
        return False
    return plan.feedback == "transport" or not layer.carries_error
