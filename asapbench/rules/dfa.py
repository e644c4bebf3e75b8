"""Direct feedback alignment (Nøkland 2016): each activation's error is the output error through a fixed random B.

The output error e = softmax(logits) - target, over the batch size, replaces the gradient at every tap (the outputs of
activations, moved past a max-pool that follows directly) by e B, B normal with variance 1 / classes. Between taps the
exact derivative applies. The last layer is trained by its own, exact error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.randomness import normal
from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow
from asapbench.rules.learner import Learner, Objective
from asapbench.rules.program import compiled, cut, give_out, output_of, put_in


class DFA(Rule):
    """dW from the layer's own input, the error projected from the output to each tap."""

    name = "dfa"

    @property
    def declares(self) -> Declares:
        """Own input, projected output error."""
        return Declares(update="own", error_path="projected", linear="projected", stem="trained")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Layers keep plain autograd inside their segment."""
        return {}

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        """The model cut behind each tap. Raises GraphError where there is no activation."""
        taps = flow.taps()
        if not taps:
            raise GraphError("dfa: the network has no activation for the projected error to enter at")
        program, output = flow.program, output_of(flow.program)
        like = next(iter(model.parameters()))
        projections: dict[str, Projection] = {}
        given: list[fx.Node] = []
        for tap in taps:
            cut(tap, [user for user in tap.users if user is not output], program)
            units = flow.shape(tap)[1:].numel()
            projection = Projection(_projection(flow.classes, units, seed, tap.name).to(like))
            target = put_in(projection, program, kind="projection", layer=tap.name)
            with program.graph.inserting_after(tap):
                given.append(program.graph.call_module(target, (tap,)))
            projections[tap.name] = projection
        give_out(given, program)
        return DFALearner(model, compiled(program), projections)


class DFALearner(Learner):
    """The head's cross-entropy plus the inner product of each tap with its projected error."""

    def __init__(self, model: nn.Module, program: fx.GraphModule, projections: dict[str, Projection]) -> None:
        super().__init__(model, program, {})
        self.projections = projections

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) for inputs (N, C, H, W); without gradients the plain model runs."""
        logits: Tensor = self.program(x)[0] if torch.is_grad_enabled() else self.model(x)
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """A scalar whose gradient at each tap h is e B: the sum of h (e B) is that of (h B^T) e."""
        logits, projected = self.program(x)
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        loss = F.cross_entropy(logits, y)
        error = (F.softmax(logits.detach(), 1) - F.one_hot(y, logits.shape[1])) / len(y)
        scalar = loss
        for one in projected:
            scalar = scalar + (one * error.to(one.dtype)).sum()
        return Objective(scalar, loss.detach(), logits.detach())

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """Each tap's projection (classes, units), in the order of the taps."""
        for tap, projection in self.projections.items():
            yield tap, projection.weight


class Projection(nn.Module):
    """h B^T (N, classes) of a tap h (N, ...), for B (classes, units); an error e at it is e B at the tap.

    It runs where the tap is made, and so the tap's error is formed, as autograd goes backwards, when all later segments
    are done: there is one such error at a time.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, tap: Tensor) -> Tensor:
        """In B's precision."""
        projected: Tensor = ProjectTap.apply(tap, self.weight)
        return projected


class ProjectTap(torch.autograd.Function):
    """h B^T, with its backward in B's precision whatever that of the tap, and keeping nothing of the tap."""

    @staticmethod
    def forward(ctx: Any, tap: Tensor, projection: Tensor) -> Tensor:
        """(N, ...) -> (N, classes)."""
        ctx.save_for_backward(projection)
        ctx.shape, ctx.dtype = tap.shape, tap.dtype
        projected = tap.flatten(1).to(projection.dtype) @ projection.mT
        # Compiled by torch 2.11, a conversion that changes nothing here loses the gradient (pytorch#180642).
        return projected if projected.dtype == projection.dtype else projected.to(projection.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradient of the tap."""
        (error,) = grad_outputs
        (projection,) = ctx.saved_tensors
        return (error @ projection).view(ctx.shape).to(ctx.dtype), None


def _projection(classes: int, units: int, seed: int, name: str) -> Tensor:
    """B (classes, units), normal with variance 1 / classes."""
    return normal((classes, units), deviation=1 / math.sqrt(classes), seed=seed, purpose="projection", name=name)
