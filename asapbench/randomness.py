"""Random streams by name: each purpose has its own, seeded by a hash, so that no generator state needs saving.

A stream depends on (seed, purpose, key) and on nothing else: cells that differ only in their rule share the streams of
the data, and an interrupted epoch draws again what it drew before. All draws are made on the CPU.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def stream_seed(seed: int, purpose: str, key: str | int) -> int:
    """63 bits: the first 8 bytes of SHA-256 of `seed/purpose/key`, without the sign bit."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, key: str | int) -> torch.Generator:
    """A fresh CPU generator for the stream (seed, purpose, key); `key` is a parameter's name or an epoch.

    torch's CPU generator keeps only the low 32 bits of a seed: two of n streams coincide with odds of n^2 / 2^33.
    """
    import torch

    return torch.Generator(device="cpu").manual_seed(stream_seed(seed, purpose, key))


def fan_in_uniform(weight: torch.Tensor, *, seed: int, purpose: str, name: str) -> None:
    """Fills `weight` (out, in, ...) from U(+-1/sqrt(fan_in)), which is Kaiming-uniform with a = sqrt 5.

    Drawn in float32 on the CPU whatever the weight is, so that every device and precision starts alike.
    """
    import torch

    drawn = torch.empty(weight.shape)
    torch.nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator(seed, purpose, name))
    with torch.no_grad():
        weight.copy_(drawn.to(weight.dtype))


def draw_layer(layer: nn.Conv2d | nn.Linear, *, seed: int, purpose: str, name: str) -> None:
    """Draws weight and bias of the layer called `name` from U(+-1/sqrt(fan_in)), each from a stream of its own.

    That is torch's default. Drawn in float32 on the CPU whatever the layer is.
    """
    import torch

    fan_in_uniform(layer.weight, seed=seed, purpose=purpose, name=f"{name}.weight")
    if layer.bias is None:
        return
    bound = 1 / math.sqrt(layer.weight[0].numel())
    stream = generator(seed, purpose, f"{name}.bias")
    drawn = torch.empty(layer.bias.shape).uniform_(-bound, bound, generator=stream)
    with torch.no_grad():
        layer.bias.copy_(drawn.to(layer.bias.dtype))
