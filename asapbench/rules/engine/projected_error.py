"""Errors projected from the output to the taps of a program, as direct feedback alignment does (`rules.dfa`).

What arrives at a tap is a signal (N, classes) times the tap's B: the output error, its sign, or the labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from asapbench.randomness import normal, uniform
from asapbench.rules.engine.criterion import Criterion, error_at_logits, one_hot
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.rules.engine.program import add_module, add_outputs, compiled, cut, output_of

Signal = Callable[[Criterion, Tensor, Tensor], Tensor]
"""What is projected: (N, classes) from the criterion, the logits (N, classes) and the labels (N,)."""
Draw = Callable[[int, int, int, str], Tensor]
"""B (classes, units) as it starts, from the classes, the units, the seed and the name of the tap."""


def sign_of_error(criterion: Criterion, logits: Tensor, y: Tensor) -> Tensor:
    """sign(e) / N for the error e of each example (sDFA)."""
    return error_at_logits(criterion, logits, y).sign() / len(y)


def labels(_criterion: Criterion, logits: Tensor, y: Tensor) -> Tensor:
    """The one-hot labels, whatever the criterion makes of them."""
    return one_hot(y, logits.shape[1]).to(logits.dtype)


def mean_labels(criterion: Criterion, logits: Tensor, y: Tensor) -> Tensor:
    """`labels` over the batch size, as the error of a mean loss is."""
    return labels(criterion, logits, y) / len(y)


def normal_by_classes(classes: int, units: int, seed: int, tap: str) -> Tensor:
    """Normal with variance 1 / classes: e B keeps the size of e."""
    return normal((classes, units), deviation=1 / math.sqrt(classes), seed=seed, purpose="projection", name=tap)


def kaiming_by_units(classes: int, units: int, seed: int, tap: str) -> Tensor:
    """U(+-sqrt(6 / units)), Kaiming-uniform with a = 0 of a matrix (classes, units)."""
    return uniform((classes, units), bound=math.sqrt(6 / units), seed=seed, purpose="projection", name=tap)


def projected(
    model: nn.Module,
    flow: Dataflow,
    seed: int,
    *,
    rule: str,
    signal: Signal = error_at_logits,
    draw: Draw = normal_by_classes,
    learned: bool = False,
) -> ProjectedLearner:
    """The model cut behind each tap, where a B of `draw` leads `signal` in; `learned`: B is a parameter.

    Raises GraphError, naming `rule`, where there is no activation, or where a shortcut passes all of them.
    """
    taps = flow.taps()
    flow.require_all_behind(taps, rule=rule)
    program, output = flow.program, output_of(flow.program)
    like = next(iter(model.parameters()))
    projections: dict[str, Projection] = {}
    given: list[fx.Node] = []
    for tap in taps:
        cut(tap, [user for user in tap.users if user is not output], program)
        units = flow.shape(tap)[1:]
        weight = draw(flow.classes, units.numel(), seed, tap.name)
        projection = Projection(weight.view(flow.classes, *units).to(like), learned=learned)
        target = add_module(projection, program, kind="projection", layer=tap.name)
        with program.graph.inserting_after(tap):
            given.append(program.graph.call_module(target, (tap,)))
        projections[tap.name] = projection
    add_outputs(given, program)
    return ProjectedLearner(model, compiled(program), projections, signal)


class ProjectedLearner(Learner):
    """The head learns by the criterion, every other segment by the projected signal at its tap."""

    def __init__(
        self, model: nn.Module, program: fx.GraphModule, projections: dict[str, Projection], signal: Signal
    ) -> None:
        super().__init__(model, program, {})
        self.projections = projections
        self.signal = signal

    def logits(self, x: Tensor) -> Tensor:
        """As every learner."""
        logits: Tensor = self.program(x)[0]
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """`scalar` has the value of the loss; its gradient at each tap is the signal times B, and none crosses a tap.

        That of a learned B is signal^T h, h being the tap.
        """
        logits, entries = self.program(x)
        loss = self.criterion(logits, y)
        signal = self.signal(self.criterion, logits.detach(), y)
        scalar: Tensor = WithError.apply(loss, signal.to(entries[0].dtype), *entries)
        return Objective(scalar, loss.detach(), logits.detach())

    def learned_beside(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Each tap's learned B (classes, ...), in the order of the taps."""
        for tap, projection in self.projections.items():
            if isinstance(projection.weight, nn.Parameter):
                yield f"feedback.{tap}", projection.weight

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """Each tap's fixed B (classes, units), in the order of the taps."""
        for tap, projection in self.projections.items():
            if not isinstance(projection.weight, nn.Parameter):
                yield tap, projection.weight.flatten(1)


class Projection(nn.Module):
    """Where an error e (N, classes) enters at a tap h (N, ...): the gradient e of the output is e B at the tap.

    B is kept as (classes, ...), so that it follows the model into channels-last; `learned`, it is a parameter, with the
    gradient e^T h. Forward computes nothing, but it runs
    where the tap is made, and so the tap's error is formed, as autograd goes backwards, when all later segments are
    done: there is one such error at a time.
    """

    def __init__(self, weight: Tensor, *, learned: bool = False) -> None:
        super().__init__()
        self.weight: Tensor
        if learned:
            self.weight = nn.Parameter(weight)
        else:
            self.register_buffer("weight", weight, persistent=False)

    def forward(self, tap: Tensor) -> Tensor:
        """Zeros (N, classes) in B's precision."""
        entry: Tensor = ProjectError.apply(tap, self.weight)
        return entry

    def error_at_tap(self, error: Tensor) -> Tensor:
        """The error e B of an output error e (N, classes), in B's order in memory and type."""
        return _projected(error, self.weight, torch.Size((len(error), *self.weight.shape[1:])))


class ProjectError(torch.autograd.Function):
    """Zeros (N, classes), whose gradient e is e B at the tap, in B's order in memory and a product in the tap's type.

    It keeps the tap only where B is learned: dB = e^T h.
    """

    @staticmethod
    def forward(ctx: Any, tap: Tensor, projection: Tensor) -> Tensor:
        """(N, ...) -> (N, classes)."""
        ctx.save_for_backward(projection, tap if ctx.needs_input_grad[1] else None)
        ctx.shape, ctx.dtype = tap.shape, tap.dtype
        return projection.new_zeros(()).expand(tap.shape[0], projection.shape[0])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradients of the tap and of a learned B."""
        (error,) = grad_outputs
        weight, tap = ctx.saved_tensors
        error, last = error.to(ctx.dtype), not weight.is_contiguous()
        delta = _projected(error, weight.to(ctx.dtype), ctx.shape)
        if tap is None:
            return delta, None
        return delta, _shaped(error.mT @ _rows(tap, last), weight.shape, last).to(weight.dtype)


def _projected(error: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """The product e B as `shape`, in the order in memory of B."""
    last = not weight.is_contiguous()
    return _shaped(error.to(weight.dtype) @ _rows(weight, last), shape, last)


def _rows(tensor: Tensor, last: bool) -> Tensor:
    """(N, ...) as (N, units); `last`: channels last, which needs no copy where `tensor` is in that order."""
    return (tensor.movedim(1, -1) if last else tensor).flatten(1)


def _shaped(rows: Tensor, shape: torch.Size, last: bool) -> Tensor:
    """`_rows` undone."""
    if not last:
        return rows.view(shape)
    count, channels, height, width = shape
    return rows.view(count, height, width, channels).movedim(-1, 1)


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
