"""Direct feedback alignment (Nøkland 2016): each activation's error is the output error through a fixed random B.

The output error e = softmax(logits) - target, over the batch size, replaces the gradient at every tap (the outputs of
activations, moved past a max-pool that follows directly) by e B, B normal with variance 1 / classes. Between taps the
exact derivative applies. The last layer is trained by its own, exact error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.randomness import generator
from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.graph import Dataflow
from asapbench.rules.learner import Learner, Objective, TappedLearner
from asapbench.rules.program import compiled, cut, give_out, output_of


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
        output = output_of(flow.program)
        like = next(iter(model.parameters()))
        projections = {}
        for tap in taps:
            cut(tap, [user for user in tap.users if user is not output], flow.program)
            units = flow.shape(tap)[1:].numel()
            projections[tap.name] = _projection(flow.classes, units, seed, tap.name).to(like)
        give_out(taps, flow.program)
        return DFALearner(model, compiled(flow.program), projections)


class DFALearner(TappedLearner):
    """The head's cross-entropy plus the inner product of each tap with its projected error."""

    def __init__(self, model: nn.Module, program: fx.GraphModule, projections: dict[str, Tensor]) -> None:
        super().__init__(model, program, {})
        self.taps = list(projections)
        for tap, projection in projections.items():
            self.register_buffer(f"projection_{tap}", projection, persistent=False)

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """A scalar whose gradient at each tap is e B."""
        logits, taps = self.program(x)
        logits = logits.float() if logits.dtype.itemsize < 4 else logits
        loss = F.cross_entropy(logits, y)
        error = (F.softmax(logits.detach(), 1) - F.one_hot(y, logits.shape[1])) / len(y)
        scalar = loss
        for tap, (_, projection) in zip(taps, self.fixed_feedback(), strict=True):
            scalar = scalar + ProjectedError.apply(tap, error.to(projection.dtype), projection)
        return Objective(scalar, loss.detach(), logits.detach())

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """Each tap's projection (classes, units), in the order of the taps."""
        for tap in self.taps:
            yield tap, self.get_buffer(f"projection_{tap}")


class ProjectedError(torch.autograd.Function):
    """The inner product of a tap h (N, ...) with the error e (N, classes) through B (classes, units): sum of h (e B).

    Keeps e, and not e B, which is as large as h.
    """

    @staticmethod
    def forward(ctx: Any, tap: Tensor, error: Tensor, projection: Tensor) -> Tensor:
        """A scalar."""
        ctx.save_for_backward(error, projection)
        ctx.shape, ctx.dtype = tap.shape, tap.dtype
        return ((tap.flatten(1).to(projection.dtype) @ projection.mT) * error).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradient of the tap."""
        (grad,) = grad_outputs
        error, projection = ctx.saved_tensors
        return (grad * error @ projection).view(ctx.shape).to(ctx.dtype), None, None


def _projection(classes: int, units: int, seed: int, name: str) -> Tensor:
    """B (classes, units), normal with variance 1 / classes."""
    return torch.randn(classes, units, generator=generator(seed, "projection", name)).div_(classes**0.5)
