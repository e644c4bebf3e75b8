"""ReLU and its gradient by one bit an element as one Triton kernel each way, for a GPU. `lean` has the same in PyTorch.

Elements are taken in the order in which they lie in memory; the last byte's unused bits are 0. Nothing is read on the
host and nothing allocated but results: both can be captured in a CUDA graph once they have run, and so been compiled.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BYTES = 256
"""Of one program, 8 elements each: a thread reads 8 neighbours, and so 16 bytes at a time in any type."""


def relu_and_bits(x: Tensor) -> tuple[Tensor, Tensor]:
    """relu(x), and where it is not zero as uint8 (ceil(elements / 8),). `x` must fill its memory without gaps."""
    out = torch.empty_like(x)
    bits = torch.empty(-(-x.numel() // 8), dtype=torch.uint8, device=x.device)
    if bits.numel():
        with torch.cuda.device(x.get_device()):  # Triton launches on the current device, not on its arguments'
            _forward[(triton.cdiv(bits.numel(), _BYTES),)](x, out, bits, x.numel(), _BYTES)
    return out, bits


def gradient_by_bits(delta: Tensor, bits: Tensor) -> Tensor:
    """`delta` where the bit is 1, else 0. `delta` must lie in memory as the tensor that `bits` were made from."""
    gradient = torch.empty_like(delta)
    if bits.numel():
        with torch.cuda.device(delta.get_device()):
            _backward[(triton.cdiv(bits.numel(), _BYTES),)](delta, bits, gradient, delta.numel(), _BYTES)
    return gradient


@triton.jit  # type: ignore[untyped-decorator]
def _forward(x_pointer, out_pointer, bits_pointer, count, BYTES: tl.constexpr):  # type: ignore[no-untyped-def]
    byte = tl.program_id(0).to(tl.int64) * BYTES + tl.arange(0, BYTES)
    place = tl.arange(0, 8)
    element = byte[:, None] * 8 + place[None, :]
    inside = element < count
    x = tl.load(x_pointer + element, inside, other=0)
    stopped = x <= 0  # not of NaN, which ReLU and its gradient let pass
    tl.store(out_pointer + element, tl.where(stopped, 0.0, x), inside)
    bits = tl.sum(tl.where(stopped, 0, 1 << place[None, :]), 1)
    tl.store(bits_pointer + byte, bits.to(tl.uint8), byte * 8 < count)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(delta_pointer, bits_pointer, gradient_pointer, count, BYTES: tl.constexpr):  # type: ignore[no-untyped-def]
    byte = tl.program_id(0).to(tl.int64) * BYTES + tl.arange(0, BYTES)
    place = tl.arange(0, 8)
    element = byte[:, None] * 8 + place[None, :]
    inside = element < count
    bits = tl.load(bits_pointer + byte, byte * 8 < count, other=0).to(tl.int32)
    passed = (bits[:, None] >> place[None, :]) & 1
    delta = tl.load(delta_pointer + element, inside, other=0)
    tl.store(gradient_pointer + element, tl.where(passed != 0, delta, 0.0), inside)
