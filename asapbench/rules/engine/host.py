"""Where an operation runs: what is fast on a CPU is not what is fast on a GPU or in compiled code."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def computes(tensor: Tensor) -> bool:
    """Whether the host itself runs the operations on `tensor`, one by one: it may then read its numbers at no cost.

    Called as `host.computes`, so that a test can replace it by what a GPU would answer.
    """
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def without_autocast(like: Tensor) -> contextlib.AbstractContextManager[object]:
    """The context of arithmetic in the type of its tensors. The meta device, which only counts, knows no other."""
    kind = like.device.type
    return contextlib.nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)
