"""A learner's objective as one compiled graph: torch.compile's kernels, CUDA graphs, or both.

Either changes how the same arithmetic is run, and with it the last bits. Forward and backward are compiled; the
optimizer's step is one fused kernel already, and evaluations are as `asapbench evaluate` makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from asapbench.errors import WorkerError
from asapbench.rules.learner import Learner, Objective

Compute = Callable[[Tensor, Tensor], Objective]


def objective_of(learner: Learner, *, batch_size: int, kernels: bool, graphs: bool, threads: int) -> Compute:
    """`learner.objective`, compiled where that is asked for: `kernels` by torch's Inductor, on up to `threads`
    processes; `graphs` launches each pass as one CUDA graph.

    Batches of `batch_size` are compiled for, at the first of them; an epoch's last, smaller one is not worth it.
    Raises WorkerError for `graphs` where the learner lies on no CUDA device.
    """
    if not kernels and not graphs:
        return learner.objective
    device = next(learner.parameters()).device
    if graphs and device.type != "cuda":
        raise WorkerError(f"--cuda-graphs: only an NVIDIA GPU has them, and this cell trains on {device}")
    import torch._functorch.config
    import torch._inductor.config

    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())  # the compiler hears of it so
    # A process trains many cells, and torch gives a function up that it has compiled a few times.
    torch.compiler.reset()
    # A rule's own backward is compiled under the forward pass's autocast otherwise: plain autograd runs it without.
    torch._functorch.config.backward_pass_autocast = "off"
    torch._inductor.config.compile_threads = threads
    options: dict[str, str | int | bool | Callable[..., Any]] = {"triton.cudagraphs": graphs} if kernels else {}
    backend = "inductor" if kernels else "cudagraphs"
    if kernels and device.type == "cpu":
        # In channels-last order, oneDNN's gradient of a 1x1 convolution's weights writes beyond them on a CPU with AVX2
        # where there are fewer than 8 channels (torch 2.14).
        options["layout_optimization"] = False
    compute = torch.compile(learner.objective, backend=backend, fullgraph=True, dynamic=False, options=options or None)

    def step(x: Tensor, y: Tensor) -> Objective:
        if len(y) != batch_size:
            return learner.objective(x, y)
        if graphs:  # what the step before gave out may be written over from here
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return compute(x, y)

    return step
