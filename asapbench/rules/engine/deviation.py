"""Standard deviations of maps, as local losses take them: in float32 at least, fast on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from asapbench.rules.engine import host

_CACHED = 1 << 17
"""About as many numbers in float32 as a core's cache holds: more at a time would go through memory several times."""


def deviation(maps: Tensor) -> Tensor:
    """The standard deviation (N, C) of each of `maps` (N, C, H, W), in float32 at least."""
    if host.computes(maps):
        found: Tensor = Deviation.apply(maps)
        return found
    return maps.to(wide_type(maps)).flatten(2).std(2)


class Deviation(torch.autograd.Function):
    """`std` over maps, several times as fast on a CPU: a few examples at a time, which stay in a core's cache.

    It keeps the maps as they are, not a copy in float32.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        means, squares = [], []
        for part in _parts(maps, maps):
            wide = part.to(wide_type(maps))
            means.append(wide.mean((2, 3), keepdim=True))
            squares.append((wide - means[-1]).square_().sum((2, 3)))
        found = (torch.cat(squares) / (maps.shape[2:].numel() - 1)).sqrt_()
        ctx.save_for_backward(maps, torch.cat(means), found)
        return found

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Tensor:
        """The gradient of the maps; a deviation of zero has none, as in `std`."""
        (delta,) = grad_outputs
        maps, mean, found = ctx.saved_tensors
        factor = (delta / (found * (maps.shape[2:].numel() - 1))).masked_fill_(found == 0, 0)[:, :, None, None]
        gradient = torch.empty_like(maps)
        whole = (maps, mean, factor, gradient)
        for part, by, times, into in zip(*(_parts(each, maps) for each in whole), strict=True):
            if into.dtype == mean.dtype:
                torch.sub(part, by, out=into).mul_(times)
            else:
                into.copy_(part.to(mean.dtype).sub_(by).mul_(times))
        return gradient


def _parts(tensor: Tensor, maps: Tensor) -> tuple[Tensor, ...]:
    """`tensor` by as many examples as `_CACHED` numbers of `maps` are."""
    return torch.split(tensor, max(1, _CACHED // maps.shape[1:].numel()))


def wide_type(tensor: Tensor) -> torch.dtype:
    """The type in which `tensor`'s statistics are computed: its own, or float32 if that has more digits."""
    return torch.promote_types(tensor.dtype, torch.float32)
