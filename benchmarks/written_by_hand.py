"""ASAP as public implementations write such rules: each layer saves its input, both weights and a clone of the shared
activation, and matches dimensions in every backward pass. ResNet-18 for small images.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import grad


class SharingConv(torch.autograd.Function):
    """A convolution whose weight gradient is formed from `shared`, whose error travels through `feedback`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, feedback: Tensor, shared: Tensor, stride: int, pad: int) -> Tensor:
        ctx.save_for_backward(x, weight, feedback, shared.clone())
        ctx.stride, ctx.pad = stride, pad
        return F.conv2d(x, weight, None, stride, pad)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (delta,) = grad_outputs
        x, weight, feedback, shared = ctx.saved_tensors
        matched = match(shared, x)
        grad_x = grad.conv2d_input(x.shape, feedback, delta, ctx.stride, ctx.pad)  # type: ignore[no-untyped-call]
        grad_w = grad.conv2d_weight(matched, weight.shape, delta, ctx.stride, ctx.pad)  # type: ignore[no-untyped-call]
        return grad_x, grad_w, grad_w.clone(), None, None, None


class FeedbackLinear(torch.autograd.Function):
    """A fully connected layer whose error travels through `feedback`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, feedback: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, feedback)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (delta,) = grad_outputs
        x, _, feedback = ctx.saved_tensors
        return delta @ feedback, delta.t() @ x, delta.sum(0), None


def match(shared: Tensor, x: Tensor) -> Tensor:
    """`shared` pooled, repeated and cut to the shape of `x`."""
    if shared.shape[2] != x.shape[2]:
        shared = F.max_pool2d(shared, shared.shape[2] // x.shape[2])
    times = -(-x.shape[1] // shared.shape[1])
    return shared.repeat(1, times, 1, 1)[:, : x.shape[1]]


class Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Conv2d(inputs, outputs, size, bias=False).weight.detach())
        self.feedback = nn.Parameter(nn.Conv2d(inputs, outputs, size, bias=False).weight.detach())
        self.stride, self.pad = stride, size // 2

    def forward(self, x: Tensor, shared: Tensor) -> Tensor:
        out: Tensor = SharingConv.apply(x, self.weight, self.feedback, shared, self.stride, self.pad)
        return out


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(inputs, outputs, 3, stride), Conv(outputs, outputs, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.projects = stride != 1
        if self.projects:
            self.projection, self.bn = Conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """k = 2: conv1 shares with the block before, conv2 shares this block's input."""
        h = F.relu(self.bn1(self.conv1(x, before)))
        out = self.bn2(self.conv2(h, x.detach()))
        skip = self.bn(self.projection(x, before)) if self.projects else x
        return F.relu(out + skip)


class AsapResNet18(nn.Module):
    """k = 2, fixed stem, classifier by feedback alignment."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.stem.weight.requires_grad_(False)
        blocks, inputs = [], width
        for stage in range(4):
            for number in range(2):
                outputs = width << stage
                blocks.append(Block(inputs, outputs, 2 if stage and not number else 1))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.fc = nn.Linear(inputs, 10)
        self.register_buffer("feedback", nn.Linear(inputs, 10).weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn(self.stem(x)))
        before = h.detach()
        for block in self.blocks:
            h, before = block(h, before), h.detach()
        pooled = F.adaptive_avg_pool2d(h, 1).flatten(1)
        logits: Tensor = FeedbackLinear.apply(pooled, self.fc.weight, self.fc.bias, self.feedback)
        return logits
