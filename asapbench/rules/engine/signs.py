"""Feedback weights with the signs of the forward weights and sizes of their own (`rules.sign_symmetry`)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from asapbench.randomness import fan_in_uniform, uniform_of_step
from asapbench.rules.engine.graph import WeightModule
from asapbench.rules.engine.layers import FeedbackLayer

Sizes = Literal["uniform", "fixed", "redrawn"]
"""`uniform`: one size for the layer. `fixed`: a size for each weight, drawn once. `redrawn`: drawn for each step."""


class SignFeedback(FeedbackLayer):
    """B = M sign(W), sign(0) = 0: backward builds it from W, and M is all that is kept.

    `uniform`: M is the number 1 / sqrt(3 fan_in), the deviation of Kaiming-uniform weights with a = sqrt 5. Otherwise
    M is the size of a draw from them.
    """

    def __init__(self, layer: WeightModule, sizes: Sizes) -> None:
        super().__init__(layer, "signs")
        self.sizes = sizes
        self.acts_before_steps = sizes == "redrawn"
        self.register_buffer("redrawn", None, persistent=False)
        self.redrawn: Tensor | None
        self._fan_in = math.prod(layer.weight.shape[1:])
        self._stream = (0, "")

    def draw(self, *, init: str, seed: int, name: str) -> None:
        """Draws M for the layer called `name`; `init` says nothing here."""
        weight = self.layer.weight.detach()
        self._stream = (seed, name)
        if self.sizes == "uniform":
            self.fixed = torch.full((), 1 / math.sqrt(3 * self._fan_in), dtype=weight.dtype, device=weight.device)
        elif self.sizes == "fixed":
            self.fixed = torch.empty_like(weight)
            fan_in_uniform(self.fixed, seed=seed, purpose="feedback", name=name)
            self.fixed.abs_()
        else:
            self.redrawn = torch.empty_like(weight)
            self._redraw(0)

    def begin_step(self, step: int) -> None:
        """Draws M again, where it is redrawn."""
        if self.acts_before_steps:
            self._redraw(step)

    def resume(self, steps: int) -> None:
        """Draws the M of the last step."""
        self.begin_step(max(steps - 1, 0))

    def feedback_weight(self) -> Tensor:
        """B, of W's shape: a new tensor."""
        return self._magnitude * self.layer.weight.detach().sign()

    def held(self) -> Tensor:
        """M."""
        return self._magnitude

    @property
    def _magnitude(self) -> Tensor:
        magnitude = self.redrawn if self.fixed is None else self.fixed
        assert magnitude is not None
        return magnitude

    @torch.no_grad()
    def _redraw(self, step: int) -> None:
        assert self.redrawn is not None
        seed, name = self._stream
        drawn = uniform_of_step(
            self.redrawn.shape,
            bound=1 / math.sqrt(self._fan_in),
            seed=seed,
            purpose="feedback",
            name=name,
            step=step,
            device=self.redrawn.device,
        )
        self.redrawn.copy_(drawn.abs_())
