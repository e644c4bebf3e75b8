"""Feedback weights that mirror the forward weights by noise, between the training steps (`rules.weight_mirror`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.randomness import uniform_of_step
from asapbench.rules.engine.functions import Geometry, weight_gradient
from asapbench.rules.engine.graph import WeightModule
from asapbench.rules.engine.layers import FeedbackLayer, geometry

_SIDE = 8
"""Rows and columns of a convolution's responses to noise: more would only repeat what one position does."""


@dataclass(frozen=True)
class Mirroring:
    """B <- (1 - decay) B + eta <y x^T>, `steps` times before each training step.

    <> is the mean over `batch` examples of noise x of deviation `amplitude` and, in a convolution, over the positions.
    """

    amplitude: float
    eta: float
    decay: float
    batch: int
    steps: int


class MirrorFeedback(FeedbackLayer):
    """B starts as an independent draw and tends to (eta amplitude^2 / decay) W.

    y is the response of W alone, without bias, BatchNorm and activation, so that running statistics stay as they are. A
    convolution gets noise maps for as many positions as it has on its own `inputs` (C, H, W), at most 8 x 8, and none
    in padding: under zeros, which mirror nothing, the outer weights of a kernel would come out smaller than its centre.
    """

    def __init__(self, layer: WeightModule, inputs: Sequence[int], mirroring: Mirroring) -> None:
        super().__init__(layer, "learned")
        self.mirroring = mirroring
        self.acts_before_steps = True
        self.register_buffer("mirrored", None, persistent=False)
        self.mirrored: Tensor | None
        self._geometry: Geometry | None = None
        self._noise: tuple[int, ...] = (mirroring.batch, int(inputs[-1]))
        if isinstance(layer, nn.Conv2d):
            own = geometry(layer)
            spans = [step * (kernel - 1) + 1 for step, kernel in zip(own.dilation, layer.kernel_size, strict=True)]
            sides = zip(inputs[1:], own.padding, own.stride, spans, strict=True)
            counts = [min((int(side) + 2 * pad - span) // step + 1, _SIDE) for side, pad, step, span in sides]
            maps = ((count - 1) * step + span for count, step, span in zip(counts, own.stride, spans, strict=True))
            self._geometry = own._replace(padding=(0, 0))
            self._noise = (mirroring.batch, int(inputs[0]), *maps)
        self._stream = (0, "")

    def draw(self, *, init: str, seed: int, name: str) -> None:
        """As every feedback layer; the noise has a stream of its own for each step."""
        super().draw(init=init, seed=seed, name=name)
        self._stream = (seed, name)

    def take(self, drawn: Tensor) -> None:
        """B is a buffer: no optimizer changes it."""
        self.mirrored = drawn

    def feedback_weight(self) -> Tensor:
        """B, of W's shape."""
        assert self.mirrored is not None
        return self.mirrored

    def state(self) -> dict[str, Tensor]:
        """B."""
        return {"mirrored": self.feedback_weight()}

    @torch.no_grad()
    def begin_step(self, step: int) -> None:
        """Mirrors W."""
        count = self.mirroring.steps
        for number in range(step * count, (step + 1) * count):
            self._mirror(number)

    def _mirror(self, number: int) -> None:
        weight, feedback, mirroring = self.layer.weight, self.feedback_weight(), self.mirroring
        seed, name = self._stream
        x = uniform_of_step(
            self._noise,
            bound=math.sqrt(3) * mirroring.amplitude,
            seed=seed,
            purpose="mirror",
            name=name,
            step=number,
            device=weight.device,
        ).to(weight.dtype)
        y = F.linear(x, weight) if self._geometry is None else F.conv2d(x, weight, None, *self._geometry)
        responses = y.numel() // y.shape[1]
        found = weight_gradient(y, x, weight.shape, self._geometry)
        feedback.mul_(1 - mirroring.decay).add_(found, alpha=mirroring.eta / responses)
