"""ReLUs that keep one bit per element for backward, if no other layer keeps their output.

Autograd keeps ReLU's output, and mostly the layer that reads it does, too: one tensor. A layer whose weight gradient
is formed from a shared activation does not, and ReLU's output would be kept for its zeros alone. Both directions give
the same bits as the ReLU that is replaced.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Collection
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.rules.engine import host
from asapbench.rules.engine.ops import RELU
from asapbench.rules.engine.program import add_module


class ReLUByBits(torch.autograd.Function):
    """relu(x), which keeps where it is not zero as bits.

    `apply(x, eight)`: `eight` as `bits_of_bytes` makes it, on x's device.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eight: Tensor) -> Tensor:
        """Of x's shape."""
        out: Tensor
        kernels = _kernels(x)
        if kernels is not None and x.permute(order := _order(x)).is_contiguous():
            out, bits = kernels.relu_and_bits(x)
        else:
            out = x.relu()
            order = _order(out)
            bits = packed(out.permute(order).bool())  # on a CPU several times as fast as comparing
        ctx.order, ctx.shape = order, out.permute(order).shape
        ctx.save_for_backward(bits, eight)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        """The gradient of x."""
        (delta,) = grad_outputs
        bits, eight = ctx.saved_tensors
        kernels = _kernels(delta)
        if kernels is not None and delta.permute(ctx.order).is_contiguous():
            return kernels.gradient_by_bits(delta, bits), None
        if not host.computes(delta):
            inverse = sorted(range(len(ctx.order)), key=ctx.order.__getitem__)
            return torch.where(shifted(bits, ctx.shape).permute(inverse), delta, 0), None
        # No view of another tensor, so that autograd may add a second gradient to it in place.
        passed = torch.empty_permuted(delta.shape, ctx.order, dtype=delta.dtype)
        unpack(bits, passed.permute(ctx.order), eight.to(delta.dtype))
        # On a CPU many times as fast as masked_fill, and unlike a product right for an infinite gradient. It goes where
        # the ones and zeros lie: new pages cost more than the arithmetic.
        gradient: Tensor = torch.ops.aten.threshold_backward.grad_input(delta, passed, 0, grad_input=passed)
        return gradient, None


class LeanReLU(nn.Module):
    """`ReLUByBits` as a module, its table on the device of the layers about it."""

    def __init__(self) -> None:
        super().__init__()
        self.eight: Tensor
        self.register_buffer("eight", bits_of_bytes(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Of x's shape, not negative."""
        out: Tensor = ReLUByBits.apply(x, self.eight)
        return out


def lean(program: fx.GraphModule, keeping_nothing: Collection[fx.Node]) -> None:
    """Puts a `LeanReLU` in the place of each ReLU whose output only nodes of `keeping_nothing` read.

    Those are the nodes that keep nothing of their first input for backward.
    """
    device = next(program.parameters()).device
    for relu in list(program.graph.nodes):
        if RELU.has(relu, program) and _read_only_by(keeping_nothing, relu):
            target = add_module(LeanReLU().to(device), program, kind="lean", layer=relu.name)
            with program.graph.inserting_before(relu):
                replacement = program.graph.call_module(target, (relu.args[0],))
            relu.replace_all_uses_with(replacement)
            program.graph.erase_node(relu)


def packed(mask: Tensor) -> Tensor:
    """A boolean tensor as bits: (ceil(elements / 8),), uint8."""
    flat = mask.flatten()
    if host.computes(flat):
        return torch.from_numpy(np.packbits(flat.numpy(), bitorder="little"))
    flat = F.pad(flat, (0, -flat.numel() % 8)) if flat.numel() % 8 else flat
    return (flat.view(-1, 8).to(torch.uint8) << _places(flat)).sum(1, dtype=torch.uint8)


def unpack(bits: Tensor, into: Tensor, eight: Tensor) -> None:
    """Fills `into`, contiguous and of the type of `eight`, with the ones and zeros that `packed` made `bits` of."""
    if into.numel() % 8:
        into.copy_(eight.index_select(0, bits.int()).view(-1)[: into.numel()].view(into.shape))
    else:
        torch.index_select(eight, 0, bits.int(), out=into.view(-1, 8))


def shifted(bits: Tensor, shape: torch.Size) -> Tensor:
    """What `packed` made `bits` of, by arithmetic: on a GPU a table is 10 times as slow (docs/performance.md)."""
    each = (bits.unsqueeze(1) >> _places(bits)) & 1
    return each.bool().view(-1)[: shape.numel()].view(shape)


def _order(tensor: Tensor) -> list[int]:
    """The dimensions in the order of memory: permuted so, a tensor is packed without a copy in channels-last either."""
    return sorted(range(tensor.dim()), key=tensor.stride, reverse=True)


def _kernels(like: Tensor) -> ModuleType | None:
    """`relu_kernels` where `like` is on a GPU that runs them. Compiled, the arithmetic is fused by torch's compiler."""
    return _working_kernels() if like.device.type == "cuda" and not torch.compiler.is_compiling() else None


@cache
def _working_kernels() -> ModuleType | None:
    """`relu_kernels` after a trial, for Triton needs a C compiler and a folder for its code. Imported when needed."""
    if importlib.util.find_spec("triton") is None:
        return None
    try:
        from asapbench.rules.engine import relu_kernels

        relu_kernels.relu_and_bits(torch.zeros(8, device="cuda"))
    except Exception as error:  # noqa: BLE001 - a compiler's, a driver's or a file's; torch's kernels do the same
        warnings.warn(f"Triton does not work here, so ReLUs take several kernels each: {error}", stacklevel=2)
        return None
    return relu_kernels


def _places(like: Tensor) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)


def bits_of_bytes() -> Tensor:
    """(256, 8), uint8: the bits of each byte, its lowest first."""
    return torch.tensor([[byte >> place & 1 for place in range(8)] for byte in range(256)], dtype=torch.uint8)


def _read_only_by(readers: Collection[fx.Node], node: fx.Node) -> bool:
    """Whether every user is of `readers` and reads `node` as its input, not as its shared activation."""
    return all(user in readers and user.args[0] is node and node not in user.args[1:] for user in node.users)
