"""Operations of PyTorch that a CUDA graph cannot hold: they read the device from the host, or take its numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

READS = {
    "_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "nonzero_numpy", "masked_select",
    "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount", "histc", "repeat_interleave",
}  # fmt: skip
"""What the host waits for: a number, or a shape that depends on numbers."""
MADE_OF_NUMBERS = {"lift", "lift_fresh", "lift_fresh_copy"}
"""`torch.tensor(...)` and its like."""


def refused(func: Any, arguments: tuple[object, ...]) -> str | None:
    """The name of the operation `func`, as a dispatch mode sees it, where a graph cannot hold it."""
    name: str = func.overloadpacket.__name__
    by_mask = name.startswith("index") and any(map(_is_mask, arguments))
    return name if name in READS | MADE_OF_NUMBERS or by_mask else None


def _is_mask(argument: object) -> bool:
    return isinstance(argument, list | tuple) and any(
        isinstance(one, Tensor) and one.dtype == torch.bool for one in argument
    )
