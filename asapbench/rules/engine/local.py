"""Training by local losses: the heads behind a network's units, and the learner that adds their losses up.

What a head draws and keeps fixed is drawn again from the seed, never stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.randomness import draw_layer
from asapbench.rules.base import Feedback
from asapbench.rules.engine import host
from asapbench.rules.engine.criterion import Criterion, cross_entropy
from asapbench.rules.engine.functions import FeedbackLinear, is_channels_last
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.rules.engine.program import add_module, add_outputs
from asapbench.rules.engine.units import Unit

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
    """Cross-entropy of M pooled(h); the error comes back through `feedback`, or through M itself if that is None."""

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


def undrawn(kind: type[Layer], *sizes: Any, **settings: Any) -> Layer:
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


def add_heads(units: Sequence[Unit], heads: Mapping[str, Head], program: fx.GraphModule) -> None:
    """Makes `program` take (inputs, labels) and give (logits, the units' losses).

    Each head runs behind its unit, and so, as autograd goes backwards, just before it: of the errors that heads send
    back there is one at a time.
    """
    (inputs,) = program.graph.find_nodes(op="placeholder")
    with program.graph.inserting_after(inputs):
        labels = program.graph.placeholder("labels")
    losses = []
    for unit in units:
        target = add_module(heads[unit.name], program, kind="head", layer=unit.name)
        with program.graph.inserting_after(unit.end):
            losses.append(program.graph.call_module(target, (unit.end, labels)))
    add_outputs(losses, program)


class LocalLearner(Learner):
    """`output_share` of the logits' cross-entropy plus the local loss of each unit."""

    def __init__(
        self,
        model: nn.Module,
        program: fx.GraphModule,
        layers: dict[str, FeedbackLayer],
        heads: Mapping[str, Head],
        *,
        output_share: float,
    ) -> None:
        super().__init__(model, program, layers)
        self.output_share = output_share
        self.units = tuple(heads)
        self.heads = nn.ModuleList(heads.values())

    def use_criterion(self, criterion: Criterion) -> None:
        """As every learner; heads may have heads inside."""
        super().use_criterion(criterion)
        for module in self.heads.modules():
            if isinstance(module, Head):
                object.__setattr__(module, "criterion", criterion)

    def logits(self, x: Tensor) -> Tensor:
        """As every learner."""
        anything = torch.zeros(len(x), dtype=torch.int64, device=x.device)  # the heads' losses are not used
        logits: Tensor = self.program(x, anything)[0]
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """The sum of all losses; where units are detached from each other its gradient is each one's alone."""
        logits, losses = self.program(x, y)
        loss = self.criterion(logits, y)
        scalar = self.output_share * loss
        for one in losses:
            scalar = scalar + one
        return Objective(scalar, loss.detach(), logits.detach())

    def learned_beside(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The learned feedback weights, then the parameters of the heads."""
        yield from super().learned_beside()
        for unit, head in zip(self.units, self.heads, strict=True):
            for name, parameter in head.named_parameters():
                yield f"head.{unit}.{name}", parameter

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """The fixed tensors of feedback layers, then those of the heads."""
        yield from super().fixed_feedback()
        for unit, head in zip(self.units, self.heads, strict=True):
            for name, buffer in head.named_buffers(remove_duplicate=False):
                yield f"head.{unit}.{name}", buffer
