"""Feedback weights that are the product of a fixed matrix with a learned one (`rules.pfa`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from asapbench.randomness import fan_in_uniform, uniform
from asapbench.rules.engine.functions import is_channels_last
from asapbench.rules.engine.graph import WeightModule
from asapbench.rules.engine.layers import FeedbackLayer


class ProductFeedback(FeedbackLayer):
    """The error travels through B R: from the outputs by a fixed B to `expansion` times as many units, from there by R.

    `fixed` is B, (groups, outputs, units) of a group; `learned` is R, of W's shape with units in place of outputs. The
    product is formed once a step, of W's shape, so that autograd gives R the gradient B^T dW: its input times the error
    at the units between.
    """

    def __init__(self, layer: WeightModule, expansion: int) -> None:
        super().__init__(layer, "learned")
        self.expansion = expansion
        self.groups = layer.groups if isinstance(layer, nn.Conv2d) else 1

    @torch.no_grad()
    def draw(self, *, init: str, seed: int, name: str) -> None:
        """Draws R as a forward weight, and B uniform with variance 1 / units: then B B^T is the identity on average."""
        weight = self.layer.weight.detach()
        outputs = weight.shape[0] // self.groups
        units = self.expansion * outputs
        learned = weight.new_empty(self.groups * units, *weight.shape[1:])
        fan_in_uniform(learned, seed=seed, purpose="feedback", name=name)
        self.learned = nn.Parameter(learned)
        shape, bound = (self.groups, outputs, units), math.sqrt(3 / units)
        self.fixed = uniform(shape, bound=bound, seed=seed, purpose="feedback factor", name=name).to(weight)

    def feedback_weight(self) -> Tensor:
        """B R, of W's shape: a new tensor."""
        return self._product().detach()

    def held(self) -> Tensor:
        """B R, which autograd leads back to R."""
        return self._product()

    def why_no_recursion(self) -> str:
        """R is of another size than W."""
        return "B is the product of a fixed matrix with a learned one"

    def _product(self) -> Tensor:
        """Without a copy of R in either order in memory."""
        assert self.learned is not None
        assert self.fixed is not None
        is_last = is_channels_last(self.learned) if self.learned.dim() == 4 else False
        rows = self.learned.movedim(1, -1) if is_last else self.learned
        product = torch.bmm(self.fixed, rows.reshape(self.groups, -1, rows[0].numel()))
        shaped = product.view(-1, *rows.shape[1:])
        return shaped.movedim(-1, 1) if is_last else shaped
