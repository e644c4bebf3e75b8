"""The kernelized information bottleneck, the local loss of `rules.phsic`: its head and its arithmetic.

All of it is computed in float32 at least, whatever the precision of training. Kernels are (N, N), and are computed from
(N, groups) numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from asapbench.errors import GraphError
from asapbench.rules.engine.deviation import deviation, wide_type
from asapbench.rules.engine.functions import is_channels_last
from asapbench.rules.engine.host import without_autocast
from asapbench.rules.engine.local import Head


class Bottleneck(Head):
    """HSIC(z, z) - gamma HSIC(y, z), plausible or biased; `groups` None: z itself, not centred."""

    def __init__(
        self,
        classes: int,
        *,
        gaussian: bool,
        sigma: float,
        groups: int | None,
        power: float,
        delta: float,
        gamma: float,
        biased: bool,
    ) -> None:
        super().__init__()
        self.classes, self.groups, self.power, self.delta = classes, groups, power, delta
        self.sigma = sigma if gaussian else None
        self.gamma, self.biased = gamma, biased

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        with without_autocast(h):
            z = self._features(h)
            found = cosines(z) if self.sigma is None else gaussians(z, self.sigma)
            wanted = cosines_of_labels(y, self.classes, found.dtype)
            # HSIC is linear in its centred argument: both terms share one product.
            centred = self._centred(found) - self.gamma * self._centred(wanted)
            return (centred * found).mean()

    def _features(self, h: Tensor) -> Tensor:
        """What the kernel compares (N, F)."""
        if self.groups is None:
            return h.flatten(1).to(wide_type(h))
        worth = grouped(h, self.groups, power=self.power, delta=self.delta)
        return worth - worth.mean(1, keepdim=True)

    def _centred(self, kernel: Tensor) -> Tensor:
        """A symmetric kernel about its mean; of biased HSIC, about the means of its rows and columns.

        To centre one factor is enough: centring is a projection, so that <HAH, HBH> = <HAH, B>.
        """
        if not self.biased:
            return kernel - kernel.mean()
        rows = kernel.mean(1, keepdim=True)
        return kernel - rows - rows.mT + rows.mean()


def grouped(h: Tensor, groups: int, *, power: float, delta: float) -> Tensor:
    """((sum of squares of each group about its mean + `delta`) / its size)^`power`, (N, groups).

    Groups are neighbouring outputs, channels first; where `groups` does not divide the outputs, the first ones have one
    more. Where nothing is left of a group the result is 0, without a gradient: a power below 1 has none there.
    """
    size, longer = divmod(h.shape[1:].numel(), groups)
    if longer:
        flat, cut = h.flatten(1), longer * (size + 1)
        parts = (_variance(flat[:, :cut], longer, delta), _variance(flat[:, cut:], groups - longer, delta))
        variance = torch.cat(parts, 1)
    else:
        variance = _variance(h, groups, delta)
    nothing = variance == 0
    worth: Tensor = variance.masked_fill(nothing, 1).pow(power)
    return worth.masked_fill(nothing, 0)


def _variance(h: Tensor, groups: int, delta: float) -> Tensor:
    """The smoothed variance (N, groups) of `groups` equal groups of outputs (N, ...)."""
    size = h.shape[1:].numel() // groups
    variance: Tensor = _deviation(h, groups).square() * ((size - 1) / size)
    return variance + delta / size


def _deviation(h: Tensor, groups: int) -> Tensor:
    """The standard deviation (N, groups) of equal groups. Maps in channels-last keep their order where a view can."""
    if h.dim() == 4 and is_channels_last(h):
        pixels, (count, channels, *_) = h.permute(0, 2, 3, 1), h.shape
        if channels % groups == 0:
            return deviation(pixels.reshape(count, -1, groups, channels // groups).transpose(1, 2))
        parts = groups // channels
        if groups % channels == 0 and h.shape[2:].numel() % parts == 0:
            by_part = deviation(pixels.reshape(count * parts, -1, channels, 1).transpose(1, 2))
            return by_part.view(count, parts, channels).transpose(1, 2).flatten(1)
    return deviation(h.reshape(len(h), groups, -1, 1))


def cosines(features: Tensor) -> Tensor:
    """The cosine of each pair of rows (N, F), as (N, N). A row of zeros has the cosine 0 with all, and no gradient."""
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    unit: Tensor = features / length.masked_fill(length == 0, math.inf)
    return unit @ unit.mT


def gaussians(features: Tensor, sigma: float) -> Tensor:
    """exp(-|a - b|^2 / (2 sigma^2)) of each pair of rows (N, F), as (N, N)."""
    product = features @ features.mT
    square = product.diagonal()
    # Rounding leaves distances a little below zero.
    distance = (square[:, None] + square - 2 * product).clamp(min=0)
    return torch.exp(distance / (-2 * sigma**2))


def cosines_of_labels(y: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """`cosines` of one-hot labels `y` (N,) minus their mean: 1 in a class, -1 / (classes - 1) between two."""
    other = -1 / max(1, classes - 1)
    return (y.unsqueeze(1) == y).to(dtype).mul_(1 - other).add_(other)


def groups_of(shape: torch.Size, most: int, *, gaussian: bool, name: str) -> int | None:
    """How many groups the outputs (N, ...) of the unit `name` are cut into: None for `most` = 0.

    As many as leave two outputs in each, and no more than `most`. About their mean, one group is always zero, and two
    are equal except for the sign: their cosines are 1 or -1, whatever the outputs. Raises GraphError for fewer than
    three groups, or two under the Gaussian kernel.
    """
    if most == 0:
        return None
    outputs, least = math.prod(shape[1:]), 2 if gaussian else 3
    found = min(most, outputs // 2)
    if found < least:
        kernel = "Gaussian" if gaussian else "cosine"
        raise GraphError(
            f"{name}: {outputs} outputs in {found} groups: the {kernel} kernel compares {least} groups of two outputs, "
            f"or more; choose a layer of {2 * least} outputs or more and groups of {least} or more, or groups = 0, "
            "which compares the outputs themselves"
        )
    return found
