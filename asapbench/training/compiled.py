"""How a learner's objective is run: as it is, or compiled by torch.compile into one graph without a break.

Compiled, each size of batch (the full one, and the last of an epoch) has a graph of its own. On a GPU they are replayed
as CUDA graphs, which costs no launch of single kernels. Last bits differ from those of the objective as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from asapbench.rules import Learner, Objective

RunObjective = Callable[[Tensor, Tensor], Objective]


def objective_of(learner: Learner, device: torch.device, *, compiled: bool) -> RunObjective:
    """What a training step calls for its objective. The one of a step must not be read after the next has begun."""
    if not compiled:
        return learner.objective
    mode = "reduce-overhead" if device.type == "cuda" else None
    run: RunObjective = torch.compile(learner.objective, fullgraph=True, dynamic=False, mode=mode)

    def objective(x: Tensor, y: Tensor) -> Objective:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return run(x, y)

    return objective
