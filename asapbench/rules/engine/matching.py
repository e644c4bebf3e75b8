"""Dimension matching (Woo et al. 2021, D.2): a shared activation made to fit the input of another layer.

Channels are repeated and cut to the layer's input channels, maps pooled to its input size; or a random fixed 1x1
convolution does both. Repeating is left to the weight gradient, where one block is computed and repeated.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.randomness import fan_in_uniform


class Pooled(nn.Module):
    """(N, C, H, W) -> (N, min(C, `channels`), *`size`), pooled by maximum or average; no gradient passes."""

    def __init__(self, mode: str, *, channels: int, size: tuple[int, int], repeat: bool = False) -> None:
        super().__init__()
        self.mode, self.channels, self.size, self.repeat = mode, channels, size, repeat

    @torch.no_grad()
    def forward(self, shared: Tensor) -> Tensor:
        """The shared activation at the layer's input size."""
        kept = shared.detach()[:, : self.channels]
        height, width = shared.shape[2:]
        if (height, width) != self.size:
            if height % self.size[0] == 0 and width % self.size[1] == 0:
                window = (height // self.size[0], width // self.size[1])
                kept = _largest(kept, window) if self.mode == "max" else F.avg_pool2d(kept, window)
            elif self.mode == "max":
                kept = F.adaptive_max_pool2d(kept, self.size)
            else:
                kept = F.adaptive_avg_pool2d(kept, self.size)
        return tiled(kept, self.channels) if self.repeat else kept


class RandomProjection(nn.Module):
    """A fixed random 1x1 convolution, stride the ratio of the sizes; (N, C, H, W) -> (N, `channels`, *`size`)."""

    def __init__(
        self, like: Tensor, *, inputs: int, channels: int, stride: tuple[int, int], seed: int, name: str
    ) -> None:
        super().__init__()
        self.stride = stride
        weight = like.new_empty(channels, inputs, 1, 1)
        fan_in_uniform(weight, seed=seed, purpose="matching", name=name)
        self.weight: Tensor
        self.register_buffer("weight", weight, persistent=False)

    @torch.no_grad()
    def forward(self, shared: Tensor) -> Tensor:
        """The projected shared activation."""
        return F.conv2d(shared.detach(), self.weight, stride=self.stride)


def matcher(mode: str, shared: torch.Size, wanted: torch.Size, *, layer: nn.Conv2d, seed: int, name: str) -> nn.Module:
    """The module that fits a shared activation of shape `shared` to the input, shaped `wanted`, of `layer`.

    `mode` is max, average or random. Raises GraphError where the shared map is smaller than the layer's input.
    """
    size = (int(wanted[2]), int(wanted[3]))
    if shared[2] < size[0] or shared[3] < size[1]:
        raise GraphError(
            f"{name}: its shared activation has maps of {shared[2]}x{shared[3]}, smaller than its input of "
            f"{size[0]}x{size[1]}; activation sharing needs maps that do not grow along the main path; use a rule of "
            "own inputs, such as kp or fa"
        )
    if mode != "random":
        return Pooled(mode, channels=int(wanted[1]), size=size, repeat=layer.groups > 1)
    if shared[1:] == wanted[1:]:
        return Pooled("max", channels=int(wanted[1]), size=size)
    stride = (_stride(int(shared[2]), size[0], name), _stride(int(shared[3]), size[1], name))
    inputs, channels = int(shared[1]), int(wanted[1])
    return RandomProjection(layer.weight, inputs=inputs, channels=channels, stride=stride, seed=seed, name=name)


def _largest(maps: Tensor, window: tuple[int, int]) -> Tensor:
    """The maximum of each window. On a CPU ten times as fast as `F.max_pool2d`, which also notes where it was."""
    rows = reduce(torch.maximum, [maps[:, :, start :: window[0]] for start in range(window[0])])
    return reduce(torch.maximum, [rows[..., start :: window[1]] for start in range(window[1])])


def tiled(block: Tensor, channels: int) -> Tensor:
    """`block` (N, C, ...) repeated along its second dimension and cut to `channels`, in the block's order in memory."""
    if block.shape[1] == channels:
        return block
    times, rest = divmod(channels, block.shape[1])
    return torch.cat([*[block] * times, *[block[:, :rest]] * (rest > 0)], 1)


def _stride(shared: int, wanted: int, name: str) -> int:
    for stride in (round(shared / wanted), -(-shared // wanted)):
        if stride and (shared - 1) // stride + 1 == wanted:
            return stride
    raise GraphError(f"{name}: no stride takes maps of {shared} to {wanted}; use max or average matching")
