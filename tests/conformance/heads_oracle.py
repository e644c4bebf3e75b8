"""The heads of local rules in float64 NumPy, written from the papers: loss, and gradient at the unit's output.

It imports neither torch nor the package.
"""

from __future__ import annotations

import math

import numpy as np
from oracle import Array, Arrays, Head, LocalOutcome, cross_entropy


def averaged(h: Array, window: tuple[int, int]) -> Array:
    """Maps in windows side by side, each replaced by its mean; windows at the border may be smaller."""
    rows, columns = (range(0, side, step) for side, step in zip(h.shape[2:], window, strict=True))
    means = [
        [h[:, :, i : i + window[0], j : j + window[1]].mean((2, 3)) for j in columns]
        for i in rows
    ]  # fmt: skip
    return np.moveaxis(np.array(means), (0, 1), (2, 3))


def averaged_backward(delta: Array, shape: tuple[int, ...], window: tuple[int, int]) -> Array:
    """Each mean's error, spread evenly over its window."""
    out = np.empty(shape)
    for i in range(delta.shape[2]):
        for j in range(delta.shape[3]):
            patch = out[:, :, i * window[0] : (i + 1) * window[0], j * window[1] : (j + 1) * window[1]]
            patch[...] = (delta[:, :, i, j] / (patch.shape[2] * patch.shape[3]))[:, :, None, None]
    return out


def two_by_two(h: Array) -> tuple[int, int]:
    """The window that leaves maps of 2x2."""
    return math.ceil(h.shape[2] / 2), math.ceil(h.shape[3] / 2)


def classifier(tensors: Arrays, *, unit: str) -> Head:
    """Average pool to 2x2 and a fully connected layer, whose error comes back through `feedback`.

    With a bias the layer is trained, without one it is fixed.
    """

    def head(h: Array, y: Array) -> LocalOutcome:
        small = averaged(h, two_by_two(h)) if h.ndim == 4 else h
        flat = small.reshape(len(h), -1)
        loss, error = cross_entropy(flat @ tensors["weight"].T + tensors.get("bias", 0.0), y)
        delta = (error @ tensors["feedback"]).reshape(small.shape)
        if h.ndim == 4:
            delta = averaged_backward(delta, h.shape, two_by_two(h))
        if "bias" not in tensors:
            return LocalOutcome(loss, delta)
        trained = {"weight": error.T @ flat, "bias": error.sum(0)}
        return LocalOutcome(loss, delta, {f"head.{unit}.{name}": value for name, value in trained.items()})

    return head
