"""The operations of the oracle's networks, forward and backward, in float64 NumPy. They know nothing of rules.

This module imports neither torch nor the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Arrays = Mapping[str, Array]
EPSILON = 1e-5  # BatchNorm's, torch's default


@dataclass(frozen=True)
class Operation:
    """`kind` applied to the values numbered `inputs`; `name` is the prefix of its parameters."""

    kind: str
    inputs: tuple[int, ...]
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def forward(  # noqa: PLR0912 - one branch a kind of operation
    operations: Sequence[Operation], parameters: Arrays, x: Array
) -> tuple[list[Array], list[Any]]:
    """The values, of which 0 is `x`, and what each operation's backward needs beside its input."""
    values, caches = [x], []
    for op in operations:
        own = values[op.inputs[0]]
        cache: Any = None
        if op.kind == "conv":
            out = conv(own, parameters[f"{op.name}.weight"], op.settings)
            if f"{op.name}.bias" in parameters:
                out = out + parameters[f"{op.name}.bias"][None, :, None, None]
        elif op.kind == "linear":
            out = own @ parameters[f"{op.name}.weight"].T + parameters.get(f"{op.name}.bias", 0.0)
        elif op.kind == "batchnorm":
            out, cache = _batchnorm(own, parameters[f"{op.name}.weight"], parameters[f"{op.name}.bias"])
        elif op.kind == "relu":
            out = np.maximum(own, 0)
        elif op.kind == "maxpool":
            out, cache = _maxpool(own, op.settings["ceil"])
        elif op.kind == "averagepool":
            out, cache = averaged(own, op.settings["window"]), op.settings["window"]
        elif op.kind == "globalpool":
            out = own.mean((2, 3))
        elif op.kind == "flatten":
            out = own.reshape(len(own), -1)
        elif op.kind == "subsample":
            out, cache = own[:, :, :: op.settings["step"], :: op.settings["step"]], op.settings["step"]
        elif op.kind == "padchannels":
            out, cache = np.pad(own, ((0, 0), op.settings["zeros"], (0, 0), (0, 0))), op.settings["zeros"]
        elif op.kind == "divisive":
            out, cache = _divisive(own, op.settings["groups"])
        else:
            assert op.kind == "add"
            out = own + values[op.inputs[1]]
        values.append(out)
        caches.append(cache)
    return values, caches


BACKWARD: dict[str, Callable[[Array, Array, Any], tuple[Array, ...]]] = {
    "relu": lambda delta, x, _: (delta * (x > 0),),
    "maxpool": lambda delta, x, cache: (_maxpool_backward(delta, x, cache),),
    "averagepool": lambda delta, x, window: (averaged_backward(delta, x.shape, window),),
    "globalpool": lambda delta, x, _: (np.broadcast_to(delta[:, :, None, None], x.shape) / (x.shape[2] * x.shape[3]),),
    "flatten": lambda delta, x, _: (delta.reshape(x.shape),),
    "add": lambda delta, _x, _: (delta, delta),
    "subsample": lambda delta, x, step: (_spread(delta, x.shape, step),),
    "padchannels": lambda delta, x, zeros: (delta[:, zeros[0] : zeros[0] + x.shape[1]],),
    "divisive": lambda delta, _x, cache: (_divisive_backward(delta, *cache),),
}


def _divisive(x: Array, groups: int) -> tuple[Array, tuple[Array, Array]]:
    """c / v^0.2 in groups: c = x - mean, v = (sum of c^2 + 1) / size (Pogodin and Latham 2020)."""
    rows = x.reshape(len(x), groups, -1)
    centred = rows - rows.mean(2, keepdims=True)
    variance = ((centred**2).sum(2, keepdims=True) + 1) / rows.shape[2]
    return (centred / variance**0.2).reshape(x.shape), (centred, variance)


def _divisive_backward(delta: Array, centred: Array, variance: Array) -> Array:
    rows = delta.reshape(centred.shape)
    along = (rows * centred).sum(2, keepdims=True) * 2 / centred.shape[2]
    gradient = rows / variance**0.2 - 0.2 * variance**-1.2 * along * centred
    return (gradient - gradient.mean(2, keepdims=True)).reshape(delta.shape)


def _spread(delta: Array, shape: tuple[int, ...], step: int) -> Array:
    """The gradient of maps of which every `step`-th row and column was taken: zero where none was."""
    out = np.zeros(shape)
    out[:, :, ::step, ::step] = delta
    return out


def _columns(x: Array, kernel: tuple[int, int], settings: dict[str, Any]) -> Array:
    """im2col: (N, C, kh, kw, H', W'), the input pixel under each kernel position."""
    stride, padding = settings["stride"], settings["padding"]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    height = (padded.shape[2] - kernel[0]) // stride + 1
    width = (padded.shape[3] - kernel[1]) // stride + 1
    columns = np.empty((*x.shape[:2], *kernel, height, width))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            columns[:, :, i, j] = padded[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
    return columns


def _grouped(array: Array, groups: int, axis: int) -> list[Array]:
    return np.split(array, groups, axis=axis)


def conv(x: Array, weight: Array, settings: dict[str, Any]) -> Array:
    groups = settings["groups"]
    columns = _columns(x, weight.shape[2:], settings)
    parts = zip(_grouped(columns, groups, 1), _grouped(weight, groups, 0), strict=True)
    return np.concatenate([np.einsum("ncijhw,ocij->nohw", c, w, optimize=True) for c, w in parts], axis=1)


def conv_backward(
    delta: Array,
    source: Array,
    back: Array,
    input_shape: tuple[int, ...],
    *,
    settings: dict[str, Any],
) -> tuple[Array, Array]:
    """dW = sum over the positions of delta times the source under the kernel; delta_x through `back`."""
    groups, stride, padding = settings["groups"], settings["stride"], settings["padding"]
    columns = _grouped(_columns(source, back.shape[2:], settings), groups, 1)
    deltas, backs = _grouped(delta, groups, 1), _grouped(back, groups, 0)
    d_weight = np.concatenate(
        [np.einsum("nohw,ncijhw->ocij", d, c, optimize=True) for d, c in zip(deltas, columns, strict=True)]
    )
    spread = np.concatenate(
        [np.einsum("nohw,ocij->ncijhw", d, b, optimize=True) for d, b in zip(deltas, backs, strict=True)], axis=1
    )
    n, channels, height, width = input_shape
    padded = np.zeros((n, channels, height + 2 * padding, width + 2 * padding))
    out_h, out_w = delta.shape[2:]
    for i in range(back.shape[2]):
        for j in range(back.shape[3]):
            padded[:, :, i : i + stride * out_h : stride, j : j + stride * out_w : stride] += spread[:, :, i, j]
    return d_weight, padded[:, :, padding : padding + height, padding : padding + width]


def _channels(parameter: Array, like: Array) -> Array:
    return parameter.reshape(1, -1, *(1 for _ in like.shape[2:]))


def _batchnorm(x: Array, gamma: Array, beta: Array) -> tuple[Array, tuple[Array, Array]]:
    axes = (0, *range(2, x.ndim))
    deviation = np.sqrt(x.var(axes, keepdims=True) + EPSILON)
    normal = (x - x.mean(axes, keepdims=True)) / deviation
    return _channels(gamma, x) * normal + _channels(beta, x), (normal, deviation)


def batchnorm_backward(delta: Array, cache: tuple[Array, Array], gamma: Array) -> tuple[Array, Array, Array]:
    normal, deviation = cache
    axes = (0, *range(2, delta.ndim))
    d_normal = delta * _channels(gamma, delta)
    centred = d_normal - d_normal.mean(axes, keepdims=True) - normal * (d_normal * normal).mean(axes, keepdims=True)
    return centred / deviation, (delta * normal).sum(axes), delta.sum(axes)


def _maxpool(x: Array, ceil: bool) -> tuple[Array, Array]:
    """Windows of 2x2, stride 2. The cache holds each window's winner as an index into the plane."""
    n, channels, height, width = x.shape
    out_h, out_w = ((height + 1) // 2, (width + 1) // 2) if ceil else (height // 2, width // 2)
    out, winner = np.empty((n, channels, out_h, out_w)), np.empty((n, channels, out_h, out_w), dtype=int)
    for i in range(out_h):
        for j in range(out_w):
            window = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            columns = window.shape[3]
            flat = window.reshape(n, channels, -1)
            best = flat.argmax(2)
            out[:, :, i, j] = flat.max(2)
            winner[:, :, i, j] = (2 * i + best // columns) * width + 2 * j + best % columns
    return out, winner


def _maxpool_backward(delta: Array, x: Array, winner: Array) -> Array:
    n, channels = x.shape[:2]
    out = np.zeros((n, channels, x.shape[2] * x.shape[3]))
    rows, columns = np.ogrid[:n, :channels]
    np.add.at(
        out, (rows[..., None], columns[..., None], winner.reshape(n, channels, -1)), delta.reshape(n, channels, -1)
    )
    return out.reshape(x.shape)


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


def adaptive(x: Array, size: tuple[int, int], reduce: Callable[..., Array]) -> Array:
    """Pixel i of n gathers the input from floor(i H / n) to ceil((i + 1) H / n)."""
    height, width = x.shape[2:]
    out = np.empty((*x.shape[:2], *size))
    for i in range(size[0]):
        for j in range(size[1]):
            top, bottom = i * height // size[0], -(-(i + 1) * height // size[0])
            left, right = j * width // size[1], -(-(j + 1) * width // size[1])
            out[:, :, i, j] = reduce(x[:, :, top:bottom, left:right], axis=(2, 3))
    return out


def cross_entropy(logits: Array, y: Array, smoothing: float = 0.0) -> tuple[float, Array]:
    """Mean over the batch, and its gradient at the logits; `smoothing` of the target is spread over all classes."""
    shifted = logits - logits.max(1, keepdims=True)
    softmax = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    target = np.full_like(softmax, smoothing / softmax.shape[1])
    target[np.arange(len(y)), y] += 1 - smoothing
    return float(-(target * np.log(softmax)).sum(1).mean()), (softmax - target) / len(y)
