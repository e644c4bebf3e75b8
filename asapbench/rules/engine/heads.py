"""Local losses: what stands behind a unit and trains it.

What a head draws and keeps fixed is drawn again from the seed, never stored.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.randomness import draw_layer
from asapbench.rules.base import Feedback
from asapbench.rules.engine import host
from asapbench.rules.engine.criterion import Criterion, cross_entropy
from asapbench.rules.engine.functions import FeedbackLinear, is_channels_last
from asapbench.rules.engine.layers import FeedbackLayer

Layer = TypeVar("Layer", bound=nn.Module)
H = TypeVar("H", bound="Head")


class Head(nn.Module):
    """The local loss of one unit: `head(h, y)`, h the unit's output (N, C, H, W) or (N, C), y labels (N,).

    Parameters are learned. Buffers are fixed: drawn from the seed, never stored. A classifier uses `criterion`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.criterion: Criterion = cross_entropy


class TrainedClassifier(Head):
    """Cross-entropy of W pooled(h) + b; the error comes back through the classifier's B."""

    def __init__(self, classifier: FeedbackLayer) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        return self.criterion(self.classifier(pooled(h)), y)


def trained_classifier(
    shape: torch.Size, classes: int, *, feedback: Feedback, init: str, seed: int, name: str
) -> TrainedClassifier:
    """The trained classifier of the unit called `name`, whose output has `shape`; its B is drawn as `init` says."""
    classifier = FeedbackLayer(undrawn(nn.Linear, pooled_features(shape), classes), feedback)
    classifier.draw(init=init, seed=seed, name=f"{name}.classifier")
    return draw_layers(TrainedClassifier(classifier), seed=seed, name=name)


class FixedClassifier(Head):
    """Cross-entropy of M pooled(h); the error comes back through `feedback`, or through M itself where it is None."""

    def __init__(self, weight: Tensor, feedback: Tensor | None) -> None:
        super().__init__()
        self.weight: Tensor
        self.feedback: Tensor | None
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("feedback", feedback, persistent=False)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        if self.feedback is None:
            return self.criterion(F.linear(pooled(h), self.weight), y)
        logits: Tensor = FeedbackLinear.apply(pooled(h), self.weight, None, self.feedback, None, None)
        return self.criterion(logits, y)


class Auxiliary(Head):
    """Cross-entropy of the auxiliary network's logits."""

    def __init__(self, shape: torch.Size, classes: int, hidden_layers: int) -> None:
        super().__init__()
        channels = features = int(shape[1])
        self.maps, self.classifier = nn.Sequential(), nn.Sequential()
        if len(shape) == 4:
            self.maps.append(nn.AvgPool2d(4, ceil_mode=True))
            for _ in range(3):
                self.maps.append(undrawn(nn.Conv2d, channels, channels, 1, bias=False))
                self.maps.extend([nn.BatchNorm2d(channels, track_running_stats=False), nn.ReLU()])
            features, hidden = pooled_features(shape, by=4), 4 * channels
            for _ in range(hidden_layers):
                self.classifier.append(undrawn(nn.Linear, features, hidden))
                self.classifier.extend([nn.BatchNorm1d(hidden, track_running_stats=False), nn.ReLU()])
                features = hidden
        self.classifier.append(undrawn(nn.Linear, features, classes))

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        return self.criterion(self.classifier(pooled(self.maps(h))), y)


def undrawn(kind: type[Layer], *sizes: int, **settings: int | bool) -> Layer:
    """A layer that is yet to be drawn: what torch draws for it leaves the global random stream as it was."""
    # Not by skip_init, whose meta tensors import torch's compiler.
    with torch.random.fork_rng(devices=[]):
        return kind(*sizes, **settings)


def draw_layers(head: H, *, seed: int, name: str) -> H:
    """`head`, of the unit `name`, with every convolution and fully connected layer drawn as the model's are."""
    for part, module in head.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw_layer(module, seed=seed, purpose="head", name=f"{name}.{part}")
    return head


def pooled(h: Tensor) -> Tensor:
    """`h` (N, C, H, W) averaged to maps of 2x2, smaller ones as they are, and flattened; (N, C) stays.

    Windows do not overlap: of an odd side the first half has one pixel more. (Adaptive pooling has no deterministic
    backward on a GPU.)
    """
    if h.dim() == 2:
        return h
    window = (math.ceil(h.shape[2] / 2), math.ceil(h.shape[3] / 2))
    return average(h, window).flatten(1)


def average(maps: Tensor, window: tuple[int, int]) -> Tensor:
    """`maps` averaged over `window`; at the border, over what there is of it."""
    fits = maps.shape[2] % window[0] == 0 and maps.shape[3] % window[1] == 0
    if fits and host.computes(maps):
        found: Tensor = Average.apply(maps, window)
        return found
    return F.avg_pool2d(maps, window, ceil_mode=True)


class Average(torch.autograd.Function):
    """`avg_pool2d` over windows that fit, with the same bits; its backward is up to ten times as fast on a CPU."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, window: tuple[int, int]) -> Tensor:
        """(N, C, H, W) -> (N, C, H / window[0], W / window[1])."""
        ctx.shape, ctx.window = maps.shape, window
        ctx.order = torch.channels_last if is_channels_last(maps) else torch.contiguous_format
        return F.avg_pool2d(maps, window)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        """The gradient of the maps."""
        (delta,) = grad_outputs
        (height, width), (rows, columns) = ctx.window, delta.shape[2:]
        share = (delta / (height * width)).contiguous(memory_format=ctx.order)
        gradient = torch.empty(ctx.shape, dtype=delta.dtype, device=delta.device, memory_format=ctx.order)
        windows = gradient.view(*ctx.shape[:2], rows, height, columns, width)
        windows.copy_(share[:, :, :, None, :, None])
        return gradient, None


def pooled_features(shape: torch.Size, *, by: int = 1) -> int:
    """How many features `pooled` gives for an output of `shape`, or for one averaged by `by` before."""
    return int(shape[1]) * math.prod(min(2, math.ceil(side / by)) for side in shape[2:])
