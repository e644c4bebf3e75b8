"""The heads of local rules in float64 NumPy, written from the papers: loss, and gradient at the unit's output.

It imports neither torch nor the package. A head is made from its tensors (parameters and fixed ones, by name) and gives
the gradients of its parameters under the names `head.UNIT.NAME`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import oracle
from numpy_operations import Array, Arrays, averaged, averaged_backward, conv, conv_backward, cross_entropy
from oracle import Head, LocalOutcome

EPSILON = 1e-8
"""What the published program of predsim adds to the lengths of its features."""


def two_by_two(h: Array) -> tuple[int, int]:
    """The window that leaves maps of 2x2."""
    return math.ceil(h.shape[2] / 2), math.ceil(h.shape[3] / 2)


def four_thousand(h: Array) -> tuple[int, int]:
    """The window that leaves at most 4096 features: height and width doubled in turn."""
    window = [1, 1]
    axis = 0
    while h.shape[1] * math.ceil(h.shape[2] / window[0]) * math.ceil(h.shape[3] / window[1]) > 4096:
        window[axis] *= 2
        axis = 1 - axis
    return window[0], window[1]


def small(h: Array, window: tuple[int, int]) -> Array:
    return averaged(h, window) if h.ndim == 4 else h


def grown(delta: Array, h: Array, window: tuple[int, int]) -> Array:
    """The error at h of `small(h)` flattened."""
    pooled = small(h, window)
    return averaged_backward(delta.reshape(pooled.shape), h.shape, window) if h.ndim == 4 else delta


def classifier(tensors: Arrays, *, unit: str, smoothing: float = 0.0) -> Head:
    """Mostafa et al.: average pool to 2x2 and a fixed fully connected layer, its error through M or `feedback`."""

    def head(h: Array, y: Array) -> LocalOutcome:
        window = two_by_two(h) if h.ndim == 4 else (1, 1)
        flat = small(h, window).reshape(len(h), -1)
        loss, error = cross_entropy(flat @ tensors["weight"].T, y, smoothing)
        return LocalOutcome(loss, grown(error @ tensors.get("feedback", tensors["weight"]), h, window))

    return head


def trained_classifier(tensors: Arrays, *, unit: str, smoothing: float = 0.0) -> Head:
    """App. B: average pool to 2x2 and a fully connected layer trained by FA, or by KP where its B is learned."""
    weight, bias = tensors["classifier.layer.weight"], tensors["classifier.layer.bias"]
    learned = "classifier.learned" in tensors
    feedback = tensors["classifier.learned" if learned else "classifier.fixed"]

    def head(h: Array, y: Array) -> LocalOutcome:
        window = two_by_two(h) if h.ndim == 4 else (1, 1)
        flat = small(h, window).reshape(len(h), -1)
        loss, error = cross_entropy(flat @ weight.T + bias, y, smoothing)
        trained = {"layer.weight": error.T @ flat, "layer.bias": error.sum(0)}
        if learned:
            trained["learned"] = trained["layer.weight"]
        gradients = {f"head.{unit}.classifier.{key}": value for key, value in trained.items()}
        return LocalOutcome(loss, grown(error @ feedback, h, window), gradients)

    return head


def predsim(
    tensors: Arrays,
    *,
    unit: str,
    classes: int,
    beta: float = 0.99,
    loss: str = "predsim",
    bpf: bool = False,
    smoothing: float = 0.0,
) -> Head:
    """Nøkland and Eidnes: the share beta of similarity matching, the rest of prediction."""
    share = {"predsim": beta, "pred": 0.0, "sim": 1.0}[loss]

    def named(part: str, name: str) -> str:
        return f"{part}.{name}" if loss == "predsim" else name

    def matching(h: Array, y: Array) -> LocalOutcome:
        if bpf:
            window = four_thousand(h) if h.ndim == 4 else (1, 1)
            value, delta = _similarity_loss(small(h, window), tensors[named("sim", "targets")][y])
            return LocalOutcome(value, grown(delta, h, window))
        weight = tensors[named("sim", "seen.weight")]
        onehot = np.eye(classes)[y]
        if h.ndim == 2:
            value, delta = _similarity_loss(h @ weight.T, onehot)
            d_weight, d_input = delta.T @ h, delta @ weight
        else:
            settings = {"stride": 1, "padding": 1, "groups": 1}
            value, delta = _similarity_loss(conv(h, weight, settings), onehot)
            d_weight, d_input = conv_backward(delta, h, weight, h.shape, settings=settings)
        return LocalOutcome(value, d_input, {named("sim", "seen.weight"): d_weight})

    def prediction(h: Array, y: Array) -> LocalOutcome:
        window = four_thousand(h) if h.ndim == 4 else (1, 1)
        flat = small(h, window).reshape(len(h), -1)
        layer = named("pred", "decoder.layer" if bpf else "decoder")
        weight, bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
        logits, back = flat @ weight.T + bias, weight
        if bpf:
            signs = tensors[named("pred", "targets")][y] > 0
            value = float((np.log1p(np.exp(logits)) - signs * logits).mean())
            error = (1 / (1 + np.exp(-logits)) - signs) / logits.size
            back = tensors[named("pred", "decoder.fixed")]
        else:
            value, error = cross_entropy(logits, y, smoothing)
        gradients = {f"{layer}.weight": error.T @ flat, f"{layer}.bias": error.sum(0)}
        return LocalOutcome(value, grown(error @ back, h, window), gradients)

    def head(h: Array, y: Array) -> LocalOutcome:
        parts = [(share, matching), (1 - share, prediction)]
        found = [(factor, part(h, y)) for factor, part in parts if factor]
        gradients = {f"head.{unit}.{key}": f * value for f, out in found for key, value in out.gradients.items()}
        return LocalOutcome(sum(f * out.loss for f, out in found), sum(f * out.delta for f, out in found), gradients)

    return head


def _similarity_loss(features: Array, targets: Array) -> tuple[float, Array]:
    """Mean squared difference of both similarity matrices, and its gradient at `features`."""
    shape, maps = features.shape, features.reshape(*features.shape[:2], -1)
    deviations = features.ndim == 4 and maps.shape[1] > 3 and maps.shape[2] > 1
    rows = maps.std(2, ddof=1) if deviations else features.reshape(len(features), -1)
    unit, length = _centred(rows)
    wanted, _ = _centred(targets)
    difference = unit @ unit.T - wanted @ wanted.T
    d_unit = 4 * difference @ unit / difference.size  # both factors of the symmetric product
    d_centred = d_unit / (EPSILON + length) - unit * (d_unit * unit).sum(1, keepdims=True) / length
    d_rows = d_centred - d_centred.mean(1, keepdims=True)
    if not deviations:
        return float((difference**2).mean()), d_rows.reshape(shape)
    spread = maps - maps.mean(2, keepdims=True)
    steep = rows[:, :, None] > 0  # a map that is the same everywhere has a kink there: no gradient
    np.divide(spread, (maps.shape[2] - 1) * rows[:, :, None], out=spread, where=steep)
    return float((difference**2).mean()), (d_rows[:, :, None] * spread).reshape(shape)


def _centred(rows: Array) -> tuple[Array, Array]:
    """Rows about their mean, divided by their lengths plus `EPSILON`, and their lengths before."""
    centred = rows - rows.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    return centred / (EPSILON + length), length


def auxiliary(tensors: Arrays, *, unit: str, hidden_layers: int = 3, smoothing: float = 0.0) -> Head:
    """Belilovsky et al.: average pool by 4, three 1x1 convolutions, pool to 2x2, fully connected layers."""

    def head(h: Array, y: Array) -> LocalOutcome:
        net, value = oracle.Network(), 0
        if h.ndim == 4:
            value = net.add("averagepool", value, window=(4, 4))
            for i in (1, 4, 7):
                value = net.conv(value, f"maps.{i}", padding=0)
                value = net.relu(net.batchnorm(value, f"maps.{i + 1}"))
            sides = [math.ceil(side / 4) for side in h.shape[2:]]
            value = net.add("averagepool", value, window=tuple(math.ceil(side / 2) for side in sides))
            value = net.add("flatten", value)
            for i in range(0, 3 * hidden_layers, 3):
                value = net.add("linear", value, name=f"classifier.{i}")
                value = net.relu(net.batchnorm(value, f"classifier.{i + 1}"))
        net.add("linear", value, name=f"classifier.{3 * hidden_layers if h.ndim == 4 else 0}")
        found = oracle.run(net, tensors, h, y, oracle.Rule("bp"), feedback={}, smoothing=smoothing)
        gradients = {f"head.{unit}.{name}": value for name, value in found.gradients.items()}
        return LocalOutcome(found.loss, found.input_delta, gradients)

    return head


def phsic(
    tensors: Arrays,
    *,
    unit: str,
    classes: int,
    kernel: str = "cosine",
    sigma: float = 5.0,
    groups: int = 64,
    power: float = 0.5,
    delta: float = 1.0,
    gamma: float = 2.0,
    estimator: str = "phsic",
    smoothing: float = 0.0,
) -> Head:
    """Pogodin and Latham: HSIC(z, z) - gamma HSIC(y, z), each pair of examples by itself."""
    assert not tensors

    def head(h: Array, y: Array) -> LocalOutcome:
        flat = h.reshape(len(h), -1)
        features, back = _grouped(flat, groups, power, delta) if groups else (flat, lambda delta: delta)
        onehot = np.eye(classes)[y]
        k_y, _ = _cosines(onehot - onehot.mean(1, keepdims=True))
        k_z, back_kernel = _cosines(features) if kernel == "cosine" else _gaussians(features, sigma)
        # Of HSIC(z, z) both factors are K_z, and centring is symmetric: twice the gradient of one.
        value = (_centred_kernel(k_z, estimator) * k_z).mean() - gamma * (_centred_kernel(k_y, estimator) * k_z).mean()
        d_kernel = (2 * _centred_kernel(k_z, estimator) - gamma * _centred_kernel(k_y, estimator)) / k_z.size
        return LocalOutcome(float(value), back(back_kernel(d_kernel)).reshape(h.shape))

    return head


def _centred_kernel(kernel: Array, estimator: str) -> Array:
    """H K H with H = I - 11^T / N for the biased estimate of HSIC; K minus its mean for pHSIC."""
    if estimator == "phsic":
        return kernel - kernel.mean()
    about = np.eye(len(kernel)) - 1 / len(kernel)
    return about @ kernel @ about


def _cosines(rows: Array) -> tuple[Array, Callable[[Array], Array]]:
    """The cosine of each two rows, and the way from its gradient back to the rows."""
    length = np.sqrt((rows**2).sum(1))
    cosine = rows @ rows.T / np.outer(length, length)

    def back(d: Array) -> Array:
        gradient = np.zeros_like(rows)
        for i, j in np.ndindex(cosine.shape):
            for one, other in ((i, j), (j, i)):
                away = rows[other] / (length[i] * length[j]) - cosine[i, j] * rows[one] / length[one] ** 2
                gradient[one] += d[i, j] * away
        return gradient

    return cosine, back


def _gaussians(rows: Array, sigma: float) -> tuple[Array, Callable[[Array], Array]]:
    apart = rows[:, None] - rows[None]
    kernel = np.exp(-(apart**2).sum(2) / (2 * sigma**2))

    def back(d: Array) -> Array:
        pull = ((d + d.T) * kernel)[:, :, None] * apart / sigma**2
        return -pull.sum(1)

    return kernel, back


def _grouped(flat: Array, most: int, power: float, delta: float) -> tuple[Array, Callable[[Array], Array]]:
    """A power of each group's smoothed variance, minus the mean over the groups; group sizes differ by one at most."""
    groups = np.array_split(flat, min(most, flat.shape[1] // 2), axis=1)
    variances = [(((group.T - group.mean(1)) ** 2).sum(0) + delta) / group.shape[1] for group in groups]
    worth = np.stack(variances, 1) ** power

    def back(d: Array) -> Array:
        d = d - d.mean(1, keepdims=True)
        steep = [d[:, g] * power * variance ** (power - 1) for g, variance in enumerate(variances)]
        parts = [2 * s * (group.T - group.mean(1)) / group.shape[1] for s, group in zip(steep, groups, strict=True)]
        return np.concatenate(parts).T

    return worth - worth.mean(1, keepdims=True), back


AUGLOCAL: dict[tuple[str, int, str], tuple[tuple[str, str, int], ...]] = {
    ("resnet10", 2, "stem"): (("project", "stages.1.0", 2), ("project", "stages.3.0", 2)),
    ("resnet10", 2, "stages.0.0.conv2"): (("project", "stages.1.0", 2), ("project", "stages.3.0", 2)),
    ("resnet10", 1, "stem"): (("project", "stages.3.0", 2),),
    ("resnet10", 1, "stages.0.0.conv2"): (("project", "stages.3.0", 2),),
    ("resnet10", 1, "stages.1.0.conv2"): (("project", "stages.3.0", 2),),
    ("resnet10_nsc", 2, "stem"): (("plain", "stages.1.0", 2), ("plain", "stages.3.0", 2)),
    ("resnet10_nsc", 2, "stages.0.0.conv2"): (("plain", "stages.1.0", 2), ("plain", "stages.3.0", 2)),
    ("resnet18", 2, "stem"): (("add_3", "stages.1.1", 2), ("add_7", "stages.3.1", 2)),
    ("resnet18", 2, "stages.0.0.conv2"): (("add_3", "stages.1.1", 2), ("add_7", "stages.3.1", 2)),
    ("resnet18", 2, "stages.0.1.conv2"): (("project", "stages.2.0", 2), ("add_7", "stages.3.1", 2)),
    ("resnet18", 2, "stages.1.0.conv2"): (("add_5", "stages.2.1", 2), ("add_7", "stages.3.1", 2)),
    ("resnet18", 2, "stages.1.1.conv2"): (("add_5", "stages.2.1", 2), ("add_7", "stages.3.1", 2)),
    ("resnet18", 2, "stages.2.0.conv2"): (("same", "stages.2.1", 1), ("add_7", "stages.3.1", 2)),
    ("alexnet", 2, "features.0"): (("pooled", "features.4", 1), ("pooled", "features.8", 1)),
    ("mlp of 3", 1, "hidden.0"): (("linear", "hidden.6", 1),),
    ("mlp", 2, "hidden.0"): (("linear", "hidden.3", 1),),
    ("grouped", 2, "c0"): (("grouped", "c2 b2", 2), ("grouped", "c3", 1)),
}
"""By hand: behind a unit of a network, at a depth, the layers copied, how, and the stride of the first convolution."""


def auglocal(tensors: Arrays, *, unit: str, network: str, depth: int = 2, smoothing: float = 0.0) -> Head:
    """Ma et al.: copies of layers that follow, an average over maps, with one copy BatchNorm, and the classifier."""
    copies = AUGLOCAL[network, depth, unit]

    def head(h: Array, y: Array) -> LocalOutcome:
        net, value = oracle.Network(), 0
        for number, (kind, layer, stride) in enumerate(copies):
            value = _copy(net, value, f"copies.{number}.", kind, layer, stride)
        value = net.add("globalpool", value) if h.ndim == 4 else value
        value = net.batchnorm(value, "norm") if len(copies) == 1 else value
        net.add("linear", value, name="classifier")
        found = oracle.run(net, tensors, h, y, oracle.Rule("bp"), feedback={}, smoothing=smoothing)
        gradients = {f"head.{unit}.{name}": value for name, value in found.gradients.items()}
        return LocalOutcome(found.loss, found.input_delta, gradients)

    return head


def _copy(net: oracle.Network, x: int, prefix: str, kind: str, layer: str, stride: int) -> int:
    """A copied basic block (with its own shortcut, a new one or none), a pooled convolution or a hidden layer."""
    name = prefix + layer
    if kind == "linear":
        after = f"{prefix}hidden.{int(layer.split('.')[1]) + 1}"
        return net.relu(net.batchnorm(net.add("linear", x, name=name), after))
    if kind == "pooled":
        value = net.conv(x, name, padding=2)
        value = net.relu(net.batchnorm(value, f"{prefix}features.{int(layer.split('.')[1]) + 1}"))
        return net.add("maxpool", value, ceil=False)
    if kind == "grouped":
        conv, *norm = layer.split()
        value = net.conv(x, prefix + conv, stride=stride, groups=2)
        return net.relu(net.batchnorm(value, prefix + norm[0]) if norm else value)
    value = net.relu(net.batchnorm(net.conv(x, f"{name}.conv1", stride=stride), f"{name}.bn1"))
    value = net.batchnorm(net.conv(value, f"{name}.conv2"), f"{name}.bn2")
    beside = x
    if kind not in ("same", "plain"):
        shortcut = f"{name}.projection" if kind == "project" else f"{prefix}shortcut_{kind}"
        beside = net.conv(x, f"{shortcut}.0", stride=stride, padding=0, beside=f"{name}.conv1")
        beside = net.batchnorm(beside, f"{shortcut}.1")
    return net.relu(value if kind == "plain" else net.add("add", value, beside))
