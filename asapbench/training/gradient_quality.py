"""How good a rule's gradient is beside backpropagation's: sizes, ranks and what one step achieves, by layer.

Measured on request between epochs, on one batch in training mode, for the weights as they are. Measuring changes
nothing of the training: no weight, gradient, statistic, mode or random stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils.hooks import RemovableHandle

from asapbench.machine.kinds import kind_of
from asapbench.metrics import WHOLE_NETWORK, GradientQuality
from asapbench.rules import Learner
from asapbench.rules.engine.attention import weights_of_layers
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.program import plain
from asapbench.training.alignment import left_as_it_is
from asapbench.training.environment import arithmetic, full_precision

LEAST_DECREASE = 1e-6
"""The least decrease of the loss, as a fraction of the loss, that is told from float32's rounding."""


@dataclass(frozen=True)
class _Gradients:
    """Of one scalar: the gradient of each trained parameter, and the error signal at the output of each layer."""

    parameters: dict[str, Tensor]
    errors: dict[str, Tensor]


def gradient_quality(
    learner: Learner, x: Tensor, y: Tensor, *, epoch: int, precision: str, rate: float
) -> list[GradientQuality]:
    """A row for each layer whose weight is trained, in forward order, then one for the whole network.

    `x` (N, C, H, W) and `y` (N,) lie on the learner's device; `epoch` is what the rows are labelled with, and `rate`
    the step size of the decreases. A step moves the layer's W, or, for the whole network, each parameter of the model
    that the rule trains. Gradients have the cell's `precision`, losses are computed in float32.
    """
    weights = dict(weights_of_layers(learner.model))
    layers = [name for name, weight in weights.items() if weight.requires_grad]
    names = {id(parameter): name for name, parameter in learner.model.named_parameters()}
    with left_as_it_is(learner, x.device):

        def gradients(root: nn.Module, loss: Callable[[], Tensor]) -> _Gradients:
            with torch.random.fork_rng(devices=_cuda(x.device)), arithmetic(x.device, precision):
                return _gradients(learner.model, root, loss)

        model = plain(learner.model)
        ours = gradients(learner, lambda: learner.objective(x, y).scalar)
        exact = gradients(model, lambda: learner.criterion(model(x), y))
        with torch.no_grad(), full_precision():
            losses = _Losses(learner, x, y, rate)
            before = losses.after({})
            rows = [_row(ours, exact, before, losses, moved=[names[id(weights[name])]], layer=name) for name in layers]
            rows.append(_row(ours, exact, before, losses, moved=list(exact.parameters), layer=WHOLE_NETWORK))
    if not layers:
        return []
    read = torch.stack([torch.stack(row) for row in rows]).tolist()  # all numbers in one read of the device
    return [_quality(epoch, name, *numbers) for name, numbers in zip([*layers, WHOLE_NETWORK], read, strict=True)]


def effective_rank(matrix: Tensor) -> Tensor:
    """How many directions a matrix (M, N) has, weighted by size: a float64 scalar from 1 to the rank.

    It is exp of the entropy of the singular values as shares of their sum: the effective rank of Roy and Vetterli
    (2007, "The effective rank: a measure of effective dimensionality", definition 1). NaN for a matrix that is zero or
    not finite.

    >>> round(float(effective_rank(torch.eye(3))), 6)
    3.0
    >>> round(float(effective_rank(torch.ones(3, 5))), 6)
    1.0
    """
    wide = _exact(matrix)
    values = torch.linalg.svdvals(torch.where(wide.isfinite().all(), wide, 0.0))  # LAPACK refuses infinity and NaN
    shares = values / values.sum()
    rank: Tensor = torch.special.entr(shares).sum().exp()
    return rank


class _Losses:
    """The training loss of the batch after steps of size `rate`. Each pass starts from the same random state."""

    def __init__(self, learner: Learner, x: Tensor, y: Tensor, rate: float) -> None:
        self._learner, self._x, self._y, self._rate = learner, x, y, rate
        self._weights = {name: parameter.detach() for name, parameter in learner.model.named_parameters()}

    def after(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """The loss where each parameter of `gradients` has moved against its gradient."""
        moved = {name: self._weights[name] - self._rate * gradient for name, gradient in gradients.items()}
        with torch.random.fork_rng(devices=_cuda(self._x.device)):
            logits = torch.func.functional_call(self._learner.model, moved, (self._x,))
        # Wide from here: the differences of losses are small.
        wide = _exact(logits)
        loss: Tensor = self._learner.criterion(wide, self._y.to(wide.device))
        return loss


def _row(
    ours: _Gradients, exact: _Gradients, before: Tensor, losses: _Losses, *, moved: Sequence[str], layer: str
) -> list[Tensor]:
    """The norms of both gradients of the parameters `moved`, both effective ranks, and the losses of both steps."""
    both = [{name: each.parameters[name] for name in moved} for each in (ours, exact)]
    norms = [torch.stack([_exact(gradient).norm() for gradient in each.values()]).norm() for each in both]
    missing = torch.full_like(norms[0], math.nan)
    ranks = [effective_rank(each.errors[layer]) if layer in each.errors else missing for each in (ours, exact)]
    return [*norms, *ranks, before, *(losses.after(each) for each in both)]


def _quality(
    epoch: int, layer: str, ours: float, exact: float, rank: float, bp_rank: float, before: float, *after: float
) -> GradientQuality:
    decrease, of_bp = (before - loss for loss in after)
    is_measurable = of_bp > LEAST_DECREASE * abs(before)
    return GradientQuality(
        epoch,
        layer,
        norm_ratio=_finite(ours / exact) if exact > 0 else None,
        effective_rank=_finite(rank),
        bp_effective_rank=_finite(bp_rank),
        decrease_share=_finite(decrease / of_bp) if is_measurable else None,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _gradients(model: nn.Module, root: nn.Module, loss: Callable[[], Tensor]) -> _Gradients:
    """The gradients of `loss()`, which runs the layers of `model` inside `root`. `.grad` stays unchanged."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    with _outputs(root, dict(weights_of_layers(model))) as outputs:
        scalar = loss()
    edges = [(name, edge) for name, found in outputs.items() for edge in found]
    inputs: list[Any] = [*trained.values(), *(edge for _, edge in edges)]
    found = torch.autograd.grad(scalar, inputs, allow_unused=True)  # None where the scalar does not depend on it
    weights, errors = found[: len(trained)], found[len(trained) :]
    arrived: dict[str, list[Tensor]] = {}
    for (name, _), error in zip(edges, errors, strict=True):
        if error is not None:
            arrived.setdefault(name, []).append(error.flatten(1))
    return _Gradients(
        {
            name: torch.zeros_like(weight) if gradient is None else gradient
            for (name, weight), gradient in zip(trained.items(), weights, strict=True)
        },
        {name: torch.cat(each) for name, each in arrived.items()},
    )


@contextmanager
def _outputs(root: nn.Module, layers: Mapping[str, Tensor]) -> Iterator[dict[str, list[GradientEdge]]]:
    """Until it closes, notes where the error arrives at the output of each of `layers` that runs inside `root`."""
    names = {id(weight): name for name, weight in layers.items()}
    outputs: dict[str, list[GradientEdge]] = {}
    handles: list[RemovableHandle] = []

    def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            if output.requires_grad:  # an edge, as what follows may change the tensor in place
                outputs.setdefault(name, []).append(get_gradient_edge(output))

        return hook

    for module in root.modules():
        layer = module.layer if isinstance(module, FeedbackLayer) else module
        if isinstance(layer, nn.Conv2d | nn.Linear) and (name := names.get(id(layer.weight))) is not None:
            handles.append(module.register_forward_hook(note(name)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _exact(tensor: Tensor) -> Tensor:
    """In float64, where the tensor lies if its device has that."""
    device = tensor.device if kind_of(tensor.device.type).has_float64 else torch.device("cpu")
    return tensor.detach().to(device).double()


def _cuda(device: torch.device) -> list[torch.device]:
    """The devices whose random streams a pass on `device` may advance, beside the CPU's."""
    return [device] if device.type == "cuda" else []
