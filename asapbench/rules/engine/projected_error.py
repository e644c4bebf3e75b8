"""Errors projected from the output to the taps of a program, as direct feedback alignment does (`rules.dfa`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.randomness import normal
from asapbench.rules.engine.criterion import error_at_logits
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.rules.engine.program import add_module, add_outputs, compiled, cut, output_of


def projected(model: nn.Module, flow: Dataflow, seed: int) -> DFALearner:
    """The model cut behind each tap, where a B (classes, units), normal with variance 1 / classes, leads the error in.

    Raises GraphError where there is no activation.
    """
    taps = flow.taps()
    if not taps:
        raise GraphError("dfa: the network has no activation for the projected error to enter at")
    program, output = flow.program, output_of(flow.program)
    like = next(iter(model.parameters()))
    projections: dict[str, Projection] = {}
    given: list[fx.Node] = []
    for tap in taps:
        cut(tap, [user for user in tap.users if user is not output], program)
        units, deviation = flow.shape(tap)[1:], 1 / math.sqrt(flow.classes)
        size = (flow.classes, units.numel())
        weight = normal(size, deviation=deviation, seed=seed, purpose="projection", name=tap.name)
        projection = Projection(weight.view(flow.classes, *units).to(like))
        target = add_module(projection, program, kind="projection", layer=tap.name)
        with program.graph.inserting_after(tap):
            given.append(program.graph.call_module(target, (tap,)))
        projections[tap.name] = projection
    add_outputs(given, program)
    return DFALearner(model, compiled(program), projections)


class DFALearner(Learner):
    """The head learns by the criterion, every other segment by the projected error at its tap."""

    def __init__(self, model: nn.Module, program: fx.GraphModule, projections: dict[str, Projection]) -> None:
        super().__init__(model, program, {})
        self.projections = projections

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) for inputs (N, C, H, W); without gradients the plain model runs."""
        logits: Tensor = self.program(x)[0] if torch.is_grad_enabled() else self.model(x)
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """`scalar` has the value of the loss; its gradient at each tap is e B, and none crosses a tap."""
        logits, entries = self.program(x)
        loss = self.criterion(logits, y)
        error = error_at_logits(self.criterion, logits, y)
        scalar: Tensor = WithError.apply(loss, error.to(entries[0].dtype), *entries)
        return Objective(scalar, loss.detach(), logits.detach())

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """Each tap's projection (classes, units), in the order of the taps."""
        for tap, projection in self.projections.items():
            yield tap, projection.weight.flatten(1)


class Projection(nn.Module):
    """Where an error e (N, classes) enters at a tap h (N, ...): the gradient e of the output is e B at the tap.

    B is kept as (classes, ...), so that it follows the model into channels-last. Forward computes nothing, but it runs
    where the tap is made, and so the tap's error is formed, as autograd goes backwards, when all later segments are
    done: there is one such error at a time.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, tap: Tensor) -> Tensor:
        """Zeros (N, classes) in B's precision."""
        entry: Tensor = ProjectError.apply(tap, self.weight)
        return entry


class ProjectError(torch.autograd.Function):
    """Zeros (N, classes), whose gradient e is e B at the tap, in B's order in memory and a product in the tap's type.

    It keeps nothing of the tap.
    """

    @staticmethod
    def forward(ctx: Any, tap: Tensor, projection: Tensor) -> Tensor:
        """(N, ...) -> (N, classes)."""
        ctx.save_for_backward(projection)
        ctx.shape, ctx.dtype = tap.shape, tap.dtype
        return projection.new_zeros(()).expand(tap.shape[0], projection.shape[0])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradient of the tap."""
        (error,) = grad_outputs
        error, projection = error.to(ctx.dtype), ctx.saved_tensors[0].to(ctx.dtype)
        if projection.is_contiguous():
            delta = (error @ projection.flatten(1)).view(ctx.shape)
        else:  # channels-last, as the tap: a product in its order needs no copy
            count, channels, height, width = ctx.shape
            flat = error @ projection.movedim(1, -1).flatten(1)
            delta = flat.view(count, height, width, channels).movedim(-1, 1)
        return delta, None


class WithError(torch.autograd.Function):
    """`apply(loss, error, *entries)`: the loss; the gradient of each entry is `error`, and that of the loss 1."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, error: Tensor, *entries: Tensor) -> Tensor:
        """A copy of the loss."""
        ctx.save_for_backward(error)
        ctx.entries = len(entries)
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradients of the loss and of the entries."""
        (grad,) = grad_outputs
        (error,) = ctx.saved_tensors
        return grad, None, *([grad * error] * ctx.entries)
