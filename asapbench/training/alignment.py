"""How far a rule is from backpropagation: angles by layer, measured on request between epochs.

Two for each layer: between W and B (W and C under Forward Alignment), and between the rule's gradient of W and
backpropagation's, which is autograd's through the plain model, on one batch in training mode. Measuring changes
nothing of the training: no weight, gradient, statistic, mode or random stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from asapbench.machine.kinds import kind_of
from asapbench.metrics import Alignment
from asapbench.rules import Learner
from asapbench.rules.engine.attention import weights_of_layers
from asapbench.rules.engine.program import plain
from asapbench.training.environment import arithmetic


def alignment(learner: Learner, x: Tensor, y: Tensor, *, epoch: int, precision: str) -> list[Alignment]:
    """The angles of every layer in forward order; a layer that is not trained, or without B, has no such row.

    `x` (N, C, H, W) and `y` (N,) lie on the learner's device; `epoch` is what the rows are labelled with.
    """
    weights = dict(weights_of_layers(learner.model))
    trained = {name: weight for name, weight in weights.items() if weight.requires_grad}
    with left_as_it_is(learner, x.device):
        compared = {name: _lengths(weight, other) for name, weight, other in learner.aligned_pairs()}
        with arithmetic(x.device, precision):
            objective = learner.objective(x, y).scalar
        # Zero where the scalar does not depend on the weight; `.grad` stays unchanged.
        ours = torch.autograd.grad(objective, list(trained.values()), materialize_grads=True)
        with arithmetic(x.device, precision):
            loss = learner.criterion(plain(learner.model)(x), y)
        exact = torch.autograd.grad(loss, list(trained.values()), materialize_grads=True)
    updates = {name: _lengths(*pair) for name, *pair in zip(trained, ours, exact, strict=True)}
    rows = [Alignment(epoch, name, "weights", None) for name in weights if name in compared]
    measured = [compared[row.layer] for row in rows] + list(updates.values())
    rows += [Alignment(epoch, name, "update", None) for name in updates]
    if not rows:
        return []
    read = torch.stack(measured).tolist()  # all angles in one read of the device
    return [replace(row, degrees=_angle(*lengths)) for row, lengths in zip(rows, read, strict=True)]


def degrees(one: Tensor, other: Tensor) -> float | None:
    """The angle between two tensors of one shape, flattened; None where one is zero or not finite."""
    return _angle(*_lengths(one, other).tolist())


def _lengths(one: Tensor, other: Tensor) -> Tensor:
    """The norms of both, and of the difference and the sum of their directions; in float64, where the tensors lie."""
    device = one.device if kind_of(one.device.type).has_float64 else torch.device("cpu")
    a, b = (tensor.detach().to(device).double().flatten() for tensor in (one, other))
    lengths = a.norm(), b.norm()
    u, v = a / lengths[0], b / lengths[1]
    return torch.stack([*lengths, (u - v).norm(), (u + v).norm()])


def _angle(one: float, other: float, difference: float, total: float) -> float | None:
    if not all(math.isfinite(length) and length > 0 for length in (one, other)):
        return None
    # Kahan's form: near 0 and 180 degrees the arc cosine loses half of the digits.
    return math.degrees(2 * math.atan2(difference, total))


@contextmanager
def left_as_it_is(learner: Learner, device: torch.device) -> Iterator[None]:
    """The learner in training mode; running statistics, modes and random streams are restored."""
    modes = [(module, module.training) for module in learner.modules()]
    norms = [module for module, _ in modes if isinstance(module, nn.modules.batchnorm._NormBase)]
    statistics = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers(recurse=False)]
    learner.train()
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in statistics:
                buffer.copy_(before)
        for module, training in modes:
            module.training = training
