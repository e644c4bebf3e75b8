"""A learner's objective with torch.compile's kernels, and its comparison with the uncompiled objective.

Compiled kernels do the same arithmetic in another order, which changes the last bits. Forward and backward are
compiled; the optimizer's step is one fused kernel already, and evaluations run as `asapbench evaluate` runs them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from asapbench.errors import WorkerError
from asapbench.rules.engine.learner import Compute, Learner, Objective
from asapbench.training.environment import arithmetic, full_precision, release_memory

_ROUNDING = 0.01
"""The largest difference between compiled and uncompiled, relative to the norm, that counts as rounding."""
_OF_ALL = 1e-6
"""The same, relative to the norm of all gradients: the gradient of a layer may be zero except for rounding."""
_TIMES_FARTHER = 3
"""How much farther than the uncompiled the compiled may be from the float32 result, in a lower precision."""
_LOST = 0.1
"""A gradient of less than this part of the norm is lost."""
_GRADIENT = "gradient of "


def compiled_objective(learner: Learner, *, batch_size: int, threads: int) -> Compute:
    """`learner.objective`, compiled by torch's Inductor with up to `threads` compiling processes.

    Only batches of `batch_size` are compiled for; an epoch's last, smaller batch runs uncompiled.
    """
    import torch._functorch.config
    import torch._inductor.config

    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())  # informs the compiler, too
    # A process trains many cells, and torch stops compiling a function that it has compiled a few times.
    torch.compiler.reset()
    # Otherwise a rule's own backward is compiled under the forward pass's autocast: plain autograd runs it without.
    torch._functorch.config.backward_pass_autocast = "off"
    torch._inductor.config.compile_threads = threads
    # Inductor keeps these in a shared folder of /tmp, wherever the rest of the code is kept.
    torch._inductor.config.cpp_cache_precompile_headers = False
    device = next(learner.parameters()).device
    options: dict[str, str | int | bool | Callable[..., Any]] = {}
    if device.type == "cpu":
        # Tensors keep the order that the uncompiled code gives them: Inductor's own choice would make the call that
        # oneDNN answers by writing beyond its output (`functions`), whatever the order of the cell.
        options["layout_optimization"] = False

    def compile_graph(plain: Compute) -> Compute:
        return torch.compile(plain, backend="inductor", fullgraph=True, dynamic=False, options=options or None)

    compute = learner.compiled(compile_graph)

    def objective(x: Tensor, y: Tensor) -> Objective:
        return (compute if len(y) == batch_size else learner.objective)(x, y)

    return objective


def require_equal(learner: Learner, compute: Compute, x: Tensor, y: Tensor, *, precision: str) -> None:
    """Compares gradients by layer, running statistics and loss of `compute` with those of `learner.objective`.

    For a learner in training mode with its first weights: where a loss is small, a gradient is little but rounding.
    In a lower `precision` than float32, `compute` may be a few times as far from the float32 result as the uncompiled
    objective is, as long as no gradient is lost. The learner stays as it is. Raises WorkerError that names the layer.
    """
    plain = exact = _measured(learner, learner.objective, x, y, precision=precision)
    ours = _measured(learner, compute, x, y, precision=precision)
    if precision != "float32":
        with full_precision():
            exact = _measured(learner, learner.objective, x, y, precision="float32")
    gradients = torch.cat([value for name, value in exact.items() if name.startswith(_GRADIENT)])
    floor = _OF_ALL * float(gradients.norm())
    wrong = {name: excess for name in exact if (excess := _excess(ours[name], plain[name], exact[name], floor=floor))}
    release_memory(x.device)
    if wrong:
        name, excess = max(wrong.items(), key=lambda item: item[1])
        others = f" ({len(wrong) - 1} others too)" if len(wrong) > 1 else ""
        raise WorkerError(
            f"--compile: torch {torch.__version__} compiles this cell wrongly: {name}{others}: {excess:.0%} from the "
            f"uncompiled result, where rounding explains {_ROUNDING:.0%}; train it without --compile"
        )


def _excess(ours: Tensor, plain: Tensor, exact: Tensor, *, floor: float) -> float:
    """How far `ours` is from `exact`, relative to its norm, where that is more than rounding; else 0."""
    if not plain.isfinite().all():
        return 0.0  # there is nothing to compare
    size, difference = float(exact.norm()), float((ours - exact).norm())
    rounded = difference <= _TIMES_FARTHER * float((plain - exact).norm()) + _ROUNDING * size + floor
    lost = float(ours.norm()) + floor < _LOST * size  # bfloat16 may round by as much as a gradient's norm
    if rounded and not lost:
        return 0.0
    return difference / size if size and isfinite(difference) else inf


def _measured(learner: Learner, compute: Compute, x: Tensor, y: Tensor, *, precision: str) -> dict[str, Tensor]:
    """Gradients by layer, changes of running statistics, and the loss, each flat; the learner is as it was before."""
    names, parameters = zip(*learner.trained_parameters(), strict=True)
    before = {name: buffer.clone() for name, buffer in learner.named_buffers()}
    with arithmetic(x.device, precision):
        objective = compute(x, y)
    gradients = torch.autograd.grad(objective.scalar, parameters, materialize_grads=True)
    found = {"loss": objective.loss.float().reshape(1).clone()}
    for name, buffer in learner.named_buffers():
        found[name.removeprefix("model.")] = (buffer - before[name]).float().flatten()
        buffer.copy_(before[name])
    layers: dict[str, list[Tensor]] = {}
    for name, gradient in zip(names, gradients, strict=True):
        layers.setdefault(name.rpartition(".")[0], []).append(gradient.float().flatten())
    return found | {f"{_GRADIENT}{name}": torch.cat(parts) for name, parts in layers.items()}
