"""The scalar recursion: where W and B get the same gradient, momentum and decay, D = W - B is s_t D_0.

SGD with decay lambda, momentum mu, dampening tau, rate lr: q <- mu q + (1 - tau) lambda s (the first time
q = lambda s), s <- s - lr q, or with Nesterov s <- s - lr (lambda s + mu q). AdamW: s <- s (1 - lr lambda).
Coupled Adam breaks it, because its step is not linear in the decay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from asapbench.machine.kinds import kind_of
from asapbench.rules.engine.layers import FeedbackLayer

_SETTINGS = ("lr", "weight_decay", "momentum", "dampening", "nesterov", "maximize", "betas", "eps", "amsgrad")


class ScalarRecursion(nn.Module):
    """s and q as float64 tensors on the weights' device, advanced after each step that the optimizer takes.

    `scale` is s in the precision of weights (`dtype`, float32 at least), converted once a step and not for each layer;
    it is no part of the state. The host reads none of them, so that a CUDA graph can hold the whole step.
    """

    def __init__(self, device: torch.device, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        exact = torch.float64 if kind_of(device.type).has_float64 else torch.float32
        self.s: Tensor
        self.q: Tensor
        self.steps: Tensor
        self.scale: Tensor
        self.register_buffer("s", torch.ones((), dtype=exact, device=device))
        self.register_buffer("q", torch.zeros((), dtype=exact, device=device))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=device))
        wide = torch.promote_types(dtype, torch.float32)
        self.register_buffer("scale", torch.ones((), dtype=wide, device=device), persistent=False)

    @torch.no_grad()
    def advance(self, group: dict[str, Any]) -> None:
        """One step of the optimizer whose parameter group is `group`; its rate is a number or a tensor of one."""
        decay, rate = group["weight_decay"], group["lr"]
        if isinstance(rate, Tensor):
            rate = rate.to(self.s)
        if "betas" in group:
            self.s.mul_(1 - rate * decay)
        else:
            mu, tau = group["momentum"], group["dampening"]
            pull = decay * self.s
            self.q.copy_(pull if mu == 0 else self._carried(pull, mu, tau))
            self.s.sub_(rate * (pull + mu * self.q if group["nesterov"] else self.q))
        self.steps.add_(1)
        self.scale.copy_(self.s)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Takes the values that `state_dict` gave, from any device. Raises KeyError where one is missing."""
        for name, value in self.state_dict().items():
            value.copy_(state[name])
        self.scale.copy_(self.s)

    def _carried(self, pull: Tensor, mu: float, tau: float) -> Tensor:
        """The next q. torch does not dampen the first step, which matters with dampening alone: q is 0 until then."""
        carried = (self.q * mu).add_(pull, alpha=1 - tau)
        return carried if tau == 0 else torch.where(self.steps == 0, pull, carried)


def why_not_exact(layers: Sequence[FeedbackLayer], optimizer: torch.optim.Optimizer) -> str | None:
    """Why the recursion would not be exact for `layers` under `optimizer`, or None."""
    if type(optimizer) not in (torch.optim.SGD, torch.optim.AdamW):
        return f"{type(optimizer).__name__} does not act on W - B as a scalar"
    if reasons := [reason for layer in layers if (reason := layer.why_no_recursion()) is not None]:
        return reasons[0]
    if optimizer.state:
        return "the optimizer has already taken steps"
    settings = set()
    for layer in layers:
        forward, back = group_of(optimizer, layer.layer.weight), group_of(optimizer, layer.learned)
        if forward is None or back is None or forward is not back:
            return "forward and feedback weights are not in one parameter group"
        settings.add(tuple(str(forward.get(name)) for name in _SETTINGS))
    return None if len(settings) == 1 else "the layers' parameter groups have different settings"


def group_of(optimizer: torch.optim.Optimizer, parameter: Tensor | None) -> dict[str, Any] | None:
    """The optimizer's parameter group that holds `parameter`, or None."""
    for group in optimizer.param_groups:
        if any(parameter is held for held in group["params"]):
            return group
    return None
