"""Random numbers by name, with the same bits on every processor, device and version of torch and NumPy.

A stream depends on (seed, purpose, key) and on nothing else: cells that differ only in their rule share the streams of
the data and of the weights, and an interrupted epoch draws again what it drew before. No generator state is saved.

torch's own draws do not have that property: `uniform_` and `normal_` use vectorised code whose last bits depend on the
processor. Here a stream is the 64-bit integers of a counter-based generator (Philox 4x64, Salmon et al. 2011), whose
output NumPy guarantees, and each number is computed from them in float64 by single additions, multiplications,
divisions and square roots, which IEEE 754 defines to the last bit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # what needs a seed alone does not load torch
    import torch
    from torch import Tensor, nn

_LEVELS = 2**24
"""How many values a uniform draw can take: float32 represents each of them exactly for a bound of 1."""

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
"""The odd constant by which SplitMix64 counts, as a signed number."""
_SPLITMIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
"""SplitMix64's two rounds: shift and factor."""


def stream_seed(seed: int, purpose: str, key: str | int) -> int:
    """63 bits: the first 8 bytes of SHA-256 of `seed/purpose/key`, without the sign bit."""
    return int.from_bytes(_digest(seed, purpose, key)[:8], "big") >> 1


def integers(count: int, *, seed: int, purpose: str, key: str | int) -> NDArray[np.uint64]:
    """The first `count` numbers of the stream (seed, purpose, key), each uniform in 0..2^64-1; shape (count,).

    `key` is a parameter's name or an epoch.

    >>> integers(2, seed=0, purpose="order", key=1)
    array([14052988559139885137, 13443678528725956161], dtype=uint64)
    """
    key_of_stream = int.from_bytes(_digest(seed, purpose, key)[:16], "big")
    return np.random.Philox(key=key_of_stream).random_raw(count)


def permutation(count: int, *, seed: int, purpose: str, key: str | int) -> Tensor:
    """0..count-1 in random order: int64 (count,), on the CPU.

    >>> permutation(5, seed=0, purpose="order", key=1)
    tensor([4, 2, 3, 1, 0])
    """
    import torch

    return torch.from_numpy(np.argsort(integers(count, seed=seed, purpose=purpose, key=key), kind="stable"))


def uniform(shape: Sequence[int], *, bound: float, seed: int, purpose: str, name: str) -> Tensor:
    """Numbers from U(-bound, bound): float32 of `shape`, on the CPU.

    >>> uniform((2,), bound=1.0, seed=0, purpose="weight", name="conv.weight")
    tensor([-0.1197,  0.9564])
    """
    import torch

    drawn = integers(math.prod(shape), seed=seed, purpose=purpose, key=name)
    numbers = _centred(drawn) * (bound / _LEVELS)
    return torch.from_numpy(numbers.astype(np.float32)).reshape(tuple(shape))


def normal(shape: Sequence[int], *, deviation: float, seed: int, purpose: str, name: str) -> Tensor:
    """Numbers from the normal distribution with mean 0 and standard deviation `deviation`: float32 of `shape`, CPU.

    Marsaglia's polar method: of the points (u, v) of a square, those inside the unit circle give
    u sqrt(-2 ln(r) / r), r = u^2 + v^2.

    >>> normal((2,), deviation=1.0, seed=0, purpose="projection", name="relu")
    tensor([1.7367, 1.6022])
    """
    import torch

    count = math.prod(shape)
    drawn = integers(_enough(count), seed=seed, purpose=purpose, key=name)
    u, v = (_centred(drawn << np.uint64(half)) * (1 / _LEVELS) for half in (0, 32))
    squared = u * u + v * v
    inside = np.flatnonzero(squared < 1)[:count]
    u, squared = u[inside], squared[inside]
    numbers = u * np.sqrt(-2 * _logarithm(squared) / squared) * deviation
    return torch.from_numpy(numbers.astype(np.float32)).reshape(tuple(shape))


def uniform_of_step(
    shape: Sequence[int], *, bound: float, seed: int, purpose: str, name: str, step: int, device: torch.device
) -> Tensor:
    """Numbers from U(-bound, bound) for one training step: float32 of `shape`, drawn on `device` itself.

    For what is drawn in every step, where copying from the host would cost more than the step. Each step is a stream
    of its own. The streams are those of SplitMix64 (Steele, Lea and Flood 2014), a counter-based generator too, in
    integers of the device, whose products wrap; two numbers of 24 bits are cut from each.

    >>> import torch
    >>> uniform_of_step((2,), bound=1.0, seed=0, purpose="noise", name="conv", step=3, device=torch.device("cpu"))
    tensor([-0.2811,  0.1587])
    """
    import torch

    count = math.prod(shape)
    start = int.from_bytes(_digest(seed, purpose, f"{name}/{step}")[:8], "big", signed=True)
    bits = torch.arange(1, (count + 1) // 2 + 1, dtype=torch.int64, device=device).mul_(_GOLDEN).add_(start)
    for shift, factor in _SPLITMIX:
        bits = bits.bitwise_xor_(_logical_shift(bits, shift)).mul_(factor)
    bits = bits.bitwise_xor_(_logical_shift(bits, 31))
    levels = bits.view(torch.int32)[:count].bitwise_right_shift(8).mul_(2).add_(1)
    return levels.to(torch.float32).mul_(bound / _LEVELS).reshape(tuple(shape))


def fan_in_uniform(weight: Tensor, *, seed: int, purpose: str, name: str) -> None:
    """Fills `weight` (out, in, ...) from U(+-1/sqrt(fan_in)), which is Kaiming-uniform with a = sqrt 5.

    Drawn in float32 whatever the weight is, so that every device and precision starts alike.
    """
    weight.detach().copy_(uniform(weight.shape, bound=_bound(weight), seed=seed, purpose=purpose, name=name))


def draw_layer(layer: nn.Conv2d | nn.Linear, *, seed: int, purpose: str, name: str) -> None:
    """Draws weight and bias of the layer called `name` from U(+-1/sqrt(fan_in)), each from a stream of its own.

    That is torch's default.
    """
    fan_in_uniform(layer.weight, seed=seed, purpose=purpose, name=f"{name}.weight")
    if layer.bias is not None:
        bias = uniform(layer.bias.shape, bound=_bound(layer.weight), seed=seed, purpose=purpose, name=f"{name}.bias")
        layer.bias.detach().copy_(bias)


def _logical_shift(bits: Tensor, by: int) -> Tensor:
    """Each 64-bit number shifted right, with zeros from the left."""
    return bits.bitwise_right_shift(by).bitwise_and_((1 << (64 - by)) - 1)


def _digest(seed: int, purpose: str, key: str | int) -> bytes:
    return hashlib.sha256(f"{seed}/{purpose}/{key}".encode()).digest()


def _bound(weight: Tensor) -> float:
    return 1 / math.sqrt(math.prod(weight.shape[1:]))


def _centred(drawn: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The highest 24 bits of each number as an odd integer from 1 - 2^24 to 2^24 - 1: symmetric and never zero."""
    return (2 * (drawn >> np.uint64(40)).astype(np.int64) + (1 - _LEVELS)).astype(np.float64)


def _enough(count: int) -> int:
    """How many points of the square to draw so that `count` lie inside the circle: 12 standard deviations are spare."""
    return math.ceil(count * 4 / math.pi + 12 * math.sqrt(count) + 64)


def _logarithm(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The natural logarithm of each positive number by IEEE operations alone.

    Those of libraries differ in the last bit.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)); with t = (m - 1) / (m + 1), ln m = 2 (t + t^3/3 + t^5/5 + ...), where
    |t| < 0.172 and twelve terms leave 1e-19.
    """
    m, e = np.frexp(x)
    small = m < math.sqrt(0.5)
    m, e = np.where(small, 2 * m, m), e - small
    t = (m - 1) / (m + 1)
    square, series = t * t, np.zeros_like(t)
    for power in range(23, 0, -2):
        series = series * square + 1 / power
    logarithm: NDArray[np.float64] = 2 * t * series + e * math.log(2)
    return logarithm
