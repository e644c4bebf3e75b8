"""Two forward passes: the input of the second carries the output error of the first (`rules.pepita`).

A program is cut in front of every activation. What lies between two cuts is a segment: the layers that lead from
activations to one other activation, or to the output. The error of a segment enters at its end and stays inside it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.randomness import uniform
from asapbench.rules.engine.criterion import error_at_logits
from asapbench.rules.engine.graph import Dataflow, activations_of, has_parameters
from asapbench.rules.engine.host import without_autocast
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.rules.engine.program import add_module, add_outputs, compiled, cut, output_of
from asapbench.rules.engine.projected_error import Projection

_BATCHNORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_DROPOUT = (nn.Dropout, nn.Dropout2d)


def perturbed(
    model: nn.Module, flow: Dataflow, seed: int, *, rule: str, size: float, second_error: bool
) -> PerturbedLearner:
    """The model as two programs, one for each pass.

    F is `size` times U(+-sqrt(6 / inputs)). The output learns from the error of the first pass or, with `second_error`,
    of the second. Raises GraphError, naming `rule` and a layer, where a layer's error is not defined.
    """
    _require_segments(flow, rule)
    (given,) = flow.program.graph.find_nodes(op="placeholder")
    inputs, like = flow.shape(given)[1:], next(iter(model.parameters()))
    bound = size * math.sqrt(6 / inputs.numel())
    drawn = uniform((flow.classes, inputs.numel()), bound=bound, seed=seed, purpose="projection", name="input")
    projection = Projection(drawn.view(flow.classes, *inputs).to(like))
    second = fx.GraphModule(flow.program, copy.deepcopy(flow.program.graph))
    return PerturbedLearner(model, _first(flow.program), _second(second), projection, second_error=second_error)


class PerturbedLearner(Learner):
    """Each segment learns from what the perturbation of the input changes at its end."""

    def __init__(
        self,
        model: nn.Module,
        first: fx.GraphModule,
        second: fx.GraphModule,
        projection: Projection,
        *,
        second_error: bool,
    ) -> None:
        super().__init__(model, first, {})
        self.second = second
        self.segments = len(activations_of(second))
        self.projection = projection
        self.second_error = second_error

    def logits(self, x: Tensor) -> Tensor:
        """As every learner."""
        logits: Tensor = self.program(x)[0]
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """`scalar` has the value of the first pass's loss; its gradients are the rule's.

        In full precision also under autocast: bfloat16 has too few bits for the difference of the two passes.
        """
        with without_autocast(x):
            with torch.no_grad():
                logits, found = self.program(x)
                loss = self.criterion(logits, y)
            error = error_at_logits(self.criterion, logits, y)
            disturbed = x + self.projection.error_at_tap(error * len(y))
            logits_after, found_after = self.second(disturbed, *found[self.segments :])
            if self.second_error:
                error = error_at_logits(self.criterion, logits_after, y)
            errors = [
                (before - after).div_(len(y) * after.shape[2:].numel())
                for before, after in zip(found[: self.segments], found_after[self.segments :], strict=True)
            ]
            ends = (*found_after[: self.segments], logits_after)
            scalar: Tensor = WithErrors.apply(loss, *ends, *errors, error.to(logits_after.dtype))
        return Objective(scalar, loss, logits)

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """F (classes, inputs)."""
        yield "input", self.projection.weight.flatten(1)


class WithErrors(torch.autograd.Function):
    """`apply(loss, *ends, *errors)`: the loss; the gradient of each end is its error."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, *ends_and_errors: Tensor) -> Tensor:
        """A copy of the loss."""
        ctx.save_for_backward(*ends_and_errors[len(ends_and_errors) // 2 :])
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradients of the ends."""
        (grad,) = grad_outputs
        errors = ctx.saved_tensors
        return None, *(grad * error for error in errors), *([None] * len(errors))


class Mask(nn.Module):
    """What a dropout layer multiplies its input by."""

    def __init__(self, dropout: nn.Module) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Another draw each time in training mode; ones in evaluation mode."""
        mask: Tensor = self.dropout(torch.ones_like(x))
        return mask


class UntrackedBatchNorm(nn.Module):
    """A BatchNorm layer that leaves its running statistics as they are."""

    def __init__(self, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """What the layer computes in its mode."""
        layer = self.layer
        if layer.training and layer.track_running_stats:
            return F.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
        normal: Tensor = layer(x)
        return normal


def _first(program: fx.GraphModule) -> fx.GraphModule:
    """The first pass: (logits, (*activations, *masks of dropout)). The head alone learns by the logits."""
    activations, masks, output = activations_of(program), [], output_of(program)
    for node, layer in _modules(program, _DROPOUT):
        (x,) = node.all_input_nodes
        target = add_module(Mask(layer), program, kind="mask", layer=node.name)
        with program.graph.inserting_before(node):
            masks.append(program.graph.call_module(target, (x,)))
        _multiply_instead(node, masks[-1], program, activations)
    for node in activations:
        cut(node, [user for user in node.users if user is not output], program)
    add_outputs([*activations, *masks], program)
    return compiled(program)


def _second(program: fx.GraphModule) -> fx.GraphModule:
    """The second pass, given the masks of the first: (logits, (*ends of the segments but the last, *activations))."""
    activations, ends = activations_of(program), []
    for node in activations:
        (end,) = node.all_input_nodes
        cut(end, [node], program)
        ends.append(end)
    last = next(node for node in program.graph.nodes if node.op == "placeholder")
    for node, _ in _modules(program, _DROPOUT):
        with program.graph.inserting_after(last):
            last = program.graph.placeholder(f"mask_{node.name}")
        _multiply_instead(node, last, program, activations)
    for node, layer in _modules(program, _BATCHNORM):
        node.target = add_module(UntrackedBatchNorm(layer), program, kind="untracked", layer=str(node.target))
    add_outputs([*ends, *activations], program)
    return compiled(program)


def _multiply_instead(node: fx.Node, mask: fx.Node, program: fx.GraphModule, activations: list[fx.Node]) -> None:
    """Replaces a dropout layer by the product with its mask; in `activations`, what it alone reads is the product."""
    (x,) = node.all_input_nodes
    with program.graph.inserting_before(node):
        product = program.graph.call_function(torch.mul, (x, mask))
    node.replace_all_uses_with(product)
    program.graph.erase_node(node)
    if x in activations and set(x.users) <= {product, mask}:
        activations[activations.index(x)] = product


def _modules(program: fx.GraphModule, kinds: tuple[type[nn.Module], ...]) -> list[tuple[fx.Node, Any]]:
    nodes = program.graph.find_nodes(op="call_module")
    found = [(node, program.get_submodule(str(node.target))) for node in nodes]
    return [(node, module) for node, module in found if isinstance(module, kinds)]


def _require_segments(flow: Dataflow, rule: str) -> None:
    """Raises GraphError unless every parameter has one error: that of the first activations that it leads to."""
    program = flow.program
    activations = activations_of(program)
    if not activations:
        raise GraphError(f"{rule}: the network has no activation, whose change is the error: put one behind each layer")
    for node in activations:
        if len(flow.shape(node)) not in (2, 4):
            raise GraphError(
                f"{rule}: {_name(node)} returns {tuple(flow.shape(node))}: the rule is defined for maps (N, C, H, W) "
                "and features (N, U)"
            )
    weights = {layer.node: layer.name for layer in flow.layers}
    for node in program.graph.nodes:
        if not has_parameters(node, program):
            continue
        ends, left = set(), list(node.users)
        while left:
            user = left.pop()
            if user in weights:
                raise GraphError(
                    f"{rule}: no activation lies between {_name(node)} and {weights[user]}, so that {_name(node)} has "
                    "no error: put one there"
                )
            if user.op == "output" or user in activations:
                ends.add(user)
            else:
                left += user.users
        if len(ends) > 1:
            names = " and ".join(sorted(map(_name, ends)))
            raise GraphError(
                f"{rule}: {_name(node)} leads to {names} and would have two errors: put an activation behind it"
            )


def _name(node: fx.Node) -> str:
    """What messages call a node: the path of a module or parameter, else its name in the program."""
    return str(node.target) if node.op in ("call_module", "get_attr") else node.name
