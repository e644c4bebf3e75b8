"""A weight layer with its feedback weight: the module that takes a layer's place in a rule's program."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from asapbench.randomness import fan_in_uniform, uniform
from asapbench.rules.base import Feedback, Sharing
from asapbench.rules.engine.functions import FeedbackConv2d, FeedbackLinear, Geometry, rebuilt_feedback
from asapbench.rules.engine.graph import WeightModule


class Scaled(Protocol):
    """What holds s, the scalar of `recursion`."""

    scale: Tensor


class FeedbackLayer(nn.Module):
    """Runs `layer` forward; its error travels through W (transport), a fixed B or a learned B.

    A fixed B is a buffer outside the state: it is drawn again from the seed. A learned B is a parameter, or, once
    bound to an optimizer for which that is exact, W - s D0 with the scalar s of `recursion`. A subclass has a B of
    another kind.
    """

    def __init__(self, layer: WeightModule, feedback: Feedback, sharing: Sharing = "both") -> None:
        super().__init__()
        self.layer = layer
        self.feedback = feedback
        self.sharing = sharing
        self.acts_before_steps = False
        """Whether `begin_step` does something, so that a checkpoint must keep the number of steps."""
        self.register_parameter("learned", None)
        self.register_buffer("fixed", None, persistent=False)
        self.register_buffer("difference", None, persistent=False)
        self._recursion: tuple[Scaled, ...] = ()  # a tuple, so that it is no submodule of each layer
        self.learned: nn.Parameter | None
        self.fixed: Tensor | None
        self.difference: Tensor | None

    def draw(self, *, init: str, seed: int, name: str) -> None:
        """Draws B for the layer called `name`.

        `init`: random or kaiming (both Kaiming-uniform, a = sqrt 5), uniform (-1, 1), or forward (W as it is now).
        """
        weight = torch.empty_like(self.layer.weight, requires_grad=False)
        with torch.no_grad():
            if init == "forward":
                weight.copy_(self.layer.weight)
            elif init == "uniform":
                weight.copy_(uniform(weight.shape, bound=1, seed=seed, purpose="feedback", name=name))
            elif init not in ("random", "kaiming"):
                raise ValueError(f"a feedback weight starts as random, kaiming, uniform or forward, not {init}")
            else:
                fan_in_uniform(weight, seed=seed, purpose="feedback", name=name)
        self.take(weight)

    def take(self, drawn: Tensor) -> None:
        """Starts with the B that was drawn, of W's shape."""
        if self.feedback == "fixed":
            self.fixed = drawn
        elif self.feedback == "learned":
            self.learned = nn.Parameter(drawn)

    @property
    def scale(self) -> Tensor | None:
        """The scalar s where B is held as W - s D0. A move to another type or device replaces the tensor."""
        return self._recursion[0].scale if self._recursion else None

    def use_recursion(self, recursion: Scaled) -> None:
        """From now on B = W - s D0, D0 = W - B as they are; s is `recursion.scale`, which its owner advances."""
        assert self.learned is not None
        self.difference = (self.layer.weight - self.learned).detach()
        self.learned, self._recursion = None, (recursion,)

    def feedback_weight(self) -> Tensor:
        """B, of W's shape."""
        if self.fixed is not None:
            return self.fixed
        if self.learned is not None:
            return self.learned
        if self.difference is not None and self.scale is not None:
            return rebuilt_feedback(self.layer.weight.detach(), self.difference, self.scale)
        return self.layer.weight

    def held(self) -> Tensor:
        """What backward keeps for B: B itself, or what it is built of, with W."""
        if self.feedback == "transport":
            return self.layer.weight.detach()
        return self.feedback_weight() if self.difference is None else self.difference

    def why_no_recursion(self) -> str | None:
        """Why a learned B cannot be held as W - s D0 whatever the optimizer, or None."""
        return "dB is formed from another activation than dW" if self.sharing == "feedback" else None

    def begin_step(self, step: int) -> None:
        """What the layer does before training step `step`, counted from 0: here nothing."""

    def state(self) -> dict[str, Tensor]:
        """What changes in B outside the optimizer, by name, so that a checkpoint must keep it: here nothing."""
        return {}

    def resume(self, steps: int) -> None:
        """Called when `state` is restored and the last step was number `steps` - 1: here nothing to do."""

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """The layer's output; `source` takes the place of x in dW and dB, or, of a convolution, in dB alone."""
        weight, bias = self.layer.weight, self.layer.bias
        back, signs = (self.held(), self.scale), self.feedback == "signs"
        if isinstance(self.layer, nn.Linear):
            linear: Tensor = FeedbackLinear.apply(x, weight, bias, *back, source, signs)
            return linear
        sources = (source, None) if self.sharing == "both" else (None, source)
        out: Tensor = FeedbackConv2d.apply(x, weight, bias, *back, *sources, geometry(self.layer), signs)
        return out


def geometry(layer: nn.Conv2d) -> Geometry:
    """Stride, padding, dilation and groups of a convolution with numeric padding."""
    stride, padding, dilation = layer.stride, layer.padding, layer.dilation
    assert not isinstance(padding, str)
    return Geometry((stride[0], stride[1]), (padding[0], padding[1]), (dilation[0], dilation[1]), layer.groups)
