"""Gradient accumulation: the objective of a batch computed part by part, with one part's activations in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from asapbench.rules.bp import parts_of
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Compute, Learner, Objective


class AccumulatingLearner(Learner):
    """As `Learner`, with the batch in `parts` of equal size, give or take one example.

    A small batch has fewer parts, as `parts_of` says. BatchNorm's statistics are those of a part, and its running
    statistics are updated by each.
    """

    def __init__(
        self, model: nn.Module, program: fx.GraphModule, layers: dict[str, FeedbackLayer], *, parts: int
    ) -> None:
        super().__init__(model, program, layers)
        self.parts = parts

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """The mean over the batch; the gradients of each part are computed before the next one begins."""
        return self._accumulated(super().objective, x, y)

    def compiled(self, by: Callable[[Compute], Compute]) -> Compute:
        """A part's objective is compiled, and the parts are accumulated around it."""
        part = by(super().objective)
        return lambda x, y: self._accumulated(part, x, y)

    def _accumulated(self, compute: Compute, x: Tensor, y: Tensor) -> Objective:
        parts = parts_of(len(y), wanted=self.parts)
        trained = [parameter for _, parameter in self.trained_parameters()]
        if parts == 1 or not torch.is_grad_enabled():
            return compute(x, y)
        scalar, loss, logits = _Accumulate.apply(compute, x, y, parts, *trained)
        return Objective(scalar, loss, logits)


class _Accumulate(torch.autograd.Function):
    """`apply(compute, x, y, parts, *parameters)`: the objective, whose gradients are computed in forward already."""

    @staticmethod
    def forward(
        ctx: Any, compute: Compute, x: Tensor, y: Tensor, parts: int, *parameters: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The scalar, the loss () and the logits (N, K)."""
        gradients = [torch.zeros_like(parameter) for parameter in parameters]
        scalars, losses, logits = [], [], []
        for part_x, part_y in zip(x.tensor_split(parts), y.tensor_split(parts), strict=True):
            share = len(part_y) / len(y)
            with torch.enable_grad():
                objective = compute(part_x, part_y)
                scalar = share * objective.scalar
            found = torch.autograd.grad(scalar, parameters, allow_unused=True)
            for total, gradient in zip(gradients, found, strict=True):
                if gradient is not None:
                    total.add_(gradient)
            scalars.append(scalar.detach())
            losses.append(share * objective.loss)
            logits.append(objective.logits)
        ctx.gradients = gradients
        outputs = sum(scalars[1:], scalars[0]), sum(losses[1:], losses[0]), torch.cat(logits)
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The sums, times the gradient of the scalar. They are handed over: a second backward pass raises."""
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the objective of a batch in parts can be differentiated once")
        return (None, None, None, None, *(gradient.mul_(grad_outputs[0]) for gradient in gradients))
