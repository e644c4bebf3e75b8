"""Autograd functions with a feedback path: the error travels through B, the weight gradient is formed from a source.

Each saves only what its backward needs: the source (the layer's own input, or the matched shared activation) and B.
B is a tensor, or is rebuilt in backward from the forward weight: as W - s D0, or from W's signs. They return gradients
and never write `.grad`; W and a learned B get the same gradient, but where B has a source of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from asapbench.rules.engine import host
from asapbench.rules.engine.matching import tiled

_REGISTER = 16
"""Float32 numbers in the largest vector register of an x86 processor."""


class Geometry(NamedTuple):
    """Stride, padding, dilation and groups of a convolution."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class FeedbackConv2d(torch.autograd.Function):
    """y = W * x; delta_x = B^T * delta_y; dW = dB = correlation of `source` with delta_y.

    `apply(x, weight, bias, feedback, scale, source, feedback_source, geometry)`: `source` None means x; where there is
    a `feedback_source`, dB is formed from that. With `scale` (a scalar s), `feedback` is D0 and B = W - s D0. With
    `signs` it is M and B = M sign(W), sign(0) = 0. A source with fewer channels than x stands for its repetition.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        feedback: Tensor,
        scale: Tensor | None,
        source: Tensor | None,
        feedback_source: Tensor | None,
        geometry: Geometry,
        signs: bool = False,
    ) -> Tensor:
        """(N, C, H, W) -> (N, O, H', W')."""
        out = F.conv2d(x, weight, bias, *geometry)
        kept = (x if source is None else source).to(out.dtype)
        apart = None if feedback_source is None else feedback_source.to(out.dtype)
        ctx.save_for_backward(kept, apart, feedback, scale, weight if signs or scale is not None else None)
        ctx.geometry, ctx.own, ctx.input_shape, ctx.input_dtype = geometry, source is None, x.shape, x.dtype
        ctx.weight_shape, ctx.weight_dtype = weight.shape, weight.dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight, bias and feedback."""
        (delta,) = grad_outputs
        source, apart, feedback, scale, weight = ctx.saved_tensors
        wants_x, wants_w, wants_b, wants_f = ctx.needs_input_grad[:4]
        learns = wants_f and weight is None
        back = _rebuilt(feedback, scale, weight).to(delta.dtype) if wants_x else None
        wants_dw = wants_w or (learns and apart is None)
        grad_x = grad_w = None
        if ctx.own and back is not None and wants_dw:
            grad_x, grad_w, _ = _convolution_backward(delta, source, back, ctx.geometry, (True, True))
        else:
            if back is not None:
                like = _unwritten(ctx.input_shape, delta)
                grad_x, _, _ = _convolution_backward(delta, like, back, ctx.geometry, (True, False))
            if wants_dw:
                grad_w = _weight_gradient(delta, source, ctx.weight_shape, ctx.geometry)
        if grad_w is not None:
            grad_w = grad_w.to(ctx.weight_dtype)
        grad_b = delta.sum((0, 2, 3)).to(ctx.weight_dtype) if wants_b else None
        if grad_x is not None:
            grad_x = grad_x.to(ctx.input_dtype)
        grad_f = grad_w if learns else None
        if learns and apart is not None:
            grad_f = _weight_gradient(delta, apart, ctx.weight_shape, ctx.geometry).to(ctx.weight_dtype)
        return grad_x, (grad_w if wants_w else None), grad_b, grad_f, None, None, None, None, None


class FeedbackLinear(torch.autograd.Function):
    """y = x W^T + b; delta_x = delta_y B; dW = dB = delta_y^T `source`.

    `apply(x, weight, bias, feedback, scale, source)`: `source` None means x; otherwise as `FeedbackConv2d`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        feedback: Tensor,
        scale: Tensor | None,
        source: Tensor | None,
        signs: bool = False,
    ) -> Tensor:
        """(N, I) -> (N, O)."""
        out = F.linear(x, weight, bias)
        kept = (x if source is None else source).to(out.dtype)
        ctx.save_for_backward(kept, feedback, scale, weight if signs or scale is not None else None)
        ctx.input_dtype, ctx.weight_dtype = x.dtype, weight.dtype
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight, bias and feedback."""
        (delta,) = grad_outputs
        source, feedback, scale, weight = ctx.saved_tensors
        wants_x, wants_w, wants_b, wants_f = ctx.needs_input_grad[:4]
        learns = wants_f and weight is None
        grad_x = grad_w = grad_b = None
        if wants_x:
            grad_x = (delta @ _rebuilt(feedback, scale, weight).to(delta.dtype)).to(ctx.input_dtype)
        if wants_w or learns:
            grad_w = (_rows(delta).mT @ _rows(source)).to(ctx.weight_dtype)
        if wants_b:
            grad_b = _rows(delta).sum(0).to(ctx.weight_dtype)
        return grad_x, (grad_w if wants_w else None), grad_b, (grad_w if learns else None), None, None, None


def rebuilt_feedback(weight: Tensor, difference: Tensor, scale: Tensor) -> Tensor:
    """B = W - s D0 in one pass over W; `scale` is s, in float32 at least.

    In float32 s is rounded once, and so is B on a CPU (a fused multiply-add); a GPU may round the product, too.
    """
    if host.computes(scale):
        return torch.sub(weight, difference, alpha=scale.item())
    if torch.compiler.is_compiling():
        return weight - scale.to(weight.dtype) * difference
    return torch.addcmul(weight, difference, scale, value=-1)


def is_channels_last(maps: Tensor) -> bool:
    """Whether `maps` (N, C, H, W) lie in memory with their channels last."""
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def weight_gradient(delta: Tensor, source: Tensor, shape: torch.Size, geometry: Geometry | None) -> Tensor:
    """The sum of the outer products of `delta` with `source`, of a weight's `shape`.

    Of a convolution the correlation; `geometry` None: of a fully connected layer.
    """
    if geometry is None:
        return _rows(delta).mT @ _rows(source)
    return _weight_gradient(delta, source, shape, geometry)


def _rows(tensor: Tensor) -> Tensor:
    """(..., U) -> (N, U)."""
    return tensor if tensor.dim() == 2 else tensor.flatten(0, -2)


def _rebuilt(feedback: Tensor, scale: Tensor | None, weight: Tensor | None) -> Tensor:
    if weight is None:
        return feedback
    return feedback * weight.sign() if scale is None else rebuilt_feedback(weight, feedback, scale)


def _weight_gradient(delta: Tensor, source: Tensor, shape: torch.Size, geometry: Geometry) -> Tensor:
    """The correlation of `source`, repeated to the weight's input channels, with `delta`."""
    like = _unwritten(torch.Size((shape[0], source.shape[1] // geometry.groups, *shape[2:])), delta)
    _, block, _ = _convolution_backward(delta, source, like, geometry, (False, True))
    assert block is not None
    return tiled(block, shape[1])


def _unwritten(shape: torch.Size, like: Tensor) -> Tensor:
    """A placeholder for a tensor of which only the shape and the order in memory are read."""
    order = torch.channels_last if is_channels_last(like) else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=order)


def _convolution_backward(
    delta: Tensor, source: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of input and weight, where `wanted`, and None for the bias."""
    if wanted[1] and _is_written_beyond(delta, source, weight, geometry):
        grad_x = None
        if wanted[0]:
            grad_x, _, _ = _convolution_backward(delta, source, weight, geometry, (True, False))
        (down, right), every = geometry.stride, geometry._replace(stride=(1, 1))
        _, grad_w, _ = _convolution_backward(delta, source[:, :, ::down, ::right], weight, every, (False, True))
        return grad_x, grad_w, None
    stride, padding, dilation, groups = geometry
    found: tuple[Tensor | None, Tensor | None, Tensor | None] = torch.ops.aten.convolution_backward(
        delta, source, weight, None, stride, padding, dilation, False, [0, 0], groups, [*wanted, False]
    )
    return found


def _is_written_beyond(delta: Tensor, source: Tensor, weight: Tensor, geometry: Geometry) -> bool:
    """Whether oneDNN may write beyond the gradient of the weight: strided and 1x1 on a CPU, not all contiguous.

    It does in channels-last, which torch takes where the input or the weight lies so, if a vector register holds more
    numbers than there are input channels (torch 2.14: under 16 channels with AVX-512, 8 with AVX2). With stride 1, on
    the pixels that are not skipped, the gradient is the same.
    """
    if delta.device.type != "cpu" or not is_narrow_strided_pointwise(weight.shape, geometry):
        return False
    # `is_contiguous` says nothing of a 1x1 weight: its order shows in the strides of the dimensions of size 1.
    in_order = delta.is_contiguous() and source.is_contiguous() and weight.stride(-1) == 1
    return not in_order or source.is_contiguous(memory_format=torch.channels_last)  # of one channel it is both


def is_narrow_strided_pointwise(weight: torch.Size, geometry: Geometry) -> bool:
    """Whether a 1x1 convolution of few input channels, without padding, skips pixels."""
    is_strided = weight[2:] == (1, 1) and geometry.stride != (1, 1) and geometry.padding == (0, 0)
    return is_strided and weight[1] < _REGISTER
