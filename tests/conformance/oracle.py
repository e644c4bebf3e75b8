"""An independent float64 NumPy oracle of the learning rules, written from the equations.

Woo et al. 2021: Algorithm 1, eq. 26, 27, 39-42 and 47, D.1, D.2; Nøkland 2016 for DFA; Akrout et al. 2019 for KP and
weight mirrors; Liao et al. 2016 for sign-symmetry; Frenkel, Lefebvre, Bol 2021 for sDFA and DRTP; Webster, Choi, Ahn
2021 for DKP. It imports neither torch nor the package; the operations are in `numpy_operations`. A network is a list
of operations written down by hand, with its main path, the main-path convolution beside each shortcut, DFA's taps and
the ends of its units; from these the oracle decides which activation each layer shares, how dimensions are matched,
what carries the error and where it stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy_operations import (
    BACKWARD,
    EPSILON,
    Array,
    Arrays,
    Operation,
    adaptive,
    batchnorm_backward,
    conv,
    conv_backward,
    cross_entropy,
    forward,
)


class Network:
    """Operations in order; value 0 is the input, value i + 1 the result of operation i."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.main: list[str] = []
        self.beside: dict[str, str] = {}
        self.taps: list[int] = []
        self.ends: dict[str, list[tuple[str, int]]] = {"conv": [], "block": []}

    def add(self, kind: str, *inputs: int, name: str = "", **settings: Any) -> int:
        self.operations.append(Operation(kind, inputs, name, settings))
        return len(self.operations)

    def conv(
        self, x: int, name: str, *, stride: int = 1, padding: int = 1, groups: int = 1, beside: str | None = None
    ) -> int:
        """A convolution of the main path, or one `beside` the main-path convolution that starts its block."""
        if beside is None:
            self.main.append(name)
        else:
            self.beside[name] = beside
        return self.add("conv", x, name=name, stride=stride, padding=padding, groups=groups)

    def tap(self, value: int) -> int:
        self.taps.append(value)
        return value

    def unit(self, name: str, value: int, *kinds: str) -> int:
        """`value` ends a unit, whose last layer is `name`, of local learning by each of `kinds`."""
        for kind in kinds:
            self.ends[kind].append((name, value))
        return value

    def batchnorm(self, x: int, name: str) -> int:
        return self.add("batchnorm", x, name=name)

    def relu(self, x: int) -> int:
        return self.add("relu", x)

    def input_of(self, conv: str) -> int:
        return next(op.inputs[0] for op in self.operations if op.name == conv)

    def behind(self, value: int) -> set[int]:
        """Every value that `value` is computed from, itself included."""
        found, left = set(), [value]
        while left:
            one = left.pop()
            found.add(one)
            left += self.operations[one - 1].inputs if one else ()
        return found

    def weight_layers(self) -> list[Operation]:
        return [op for op in self.operations if op.kind in ("conv", "linear")]


@dataclass(frozen=True)
class Rule:
    """A rule with its options, as the paper states them; an empty `classifier` is the rule's own."""

    name: str
    k: int = 2
    matching: str = "max"
    classifier: str = ""
    stem: str = "fixed"
    source: str = "activation"
    approximate: str = "linear"
    variant: str = "usf"
    error: str = "exact"
    reduction: str = "mean"

    @property
    def projects(self) -> bool:
        """Whether something of the output enters at each tap."""
        return self.name in ("dfa", "drtp", "dkp")

    def projected(self, error: Array, y: Array) -> Array:
        """What enters, (N, classes): the error, its sign, or the labels; over the batch size but where it is a sum."""
        if self.name == "drtp":
            return np.eye(error.shape[1])[y] / (1 if self.reduction == "sum" else len(y))
        return np.sign(error) / len(y) if self.error == "sign" else error

    @property
    def shares(self) -> bool:
        return self.name in ("asap", "as", "asfp", "asfp_lc")

    @property
    def shares_forward(self) -> bool:
        """Whether a shared activation stands in dW too, or in dB alone (eq. 39-42)."""
        return self.name in ("asap", "as")

    def has_feedback(self, op: Operation) -> bool:
        """Whether the error travels through a B of this operation, where it travels at all."""
        if self.name == "as":
            return op.kind == "linear" and self.classifier == "fa"
        return op.kind in ("conv", "linear") and self.name in (
            "kp",
            "pfa",
            "fa",
            "asap",
            "asfp",
            "asfp_lc",
            "sign_symmetry",
            "weight_mirror",
        )

    def learns(self, op: Operation) -> bool:
        """Whether B of this layer is learned."""
        if self.name not in ("kp", "asap", "asfp", "asfp_lc"):
            return False
        return op.kind == "conv" or self.classifier == "kp"


@dataclass(frozen=True)
class Local:
    """Local losses: (the value that ends a unit, its head) in forward order, and whether units are apart.

    `output_share` multiplies the output's own loss.
    """

    units: tuple[tuple[int, Head], ...] = ()
    apart: bool = True
    output_share: float = 1.0

    def parts(self, net: Network) -> list[int]:
        """For each value the unit whose loss it is trained by: the first whose end is computed from it."""
        behind = [net.behind(end) for end, _ in self.units] if self.apart else []
        return [
            next((unit for unit, values in enumerate(behind) if value in values), len(behind))
            for value in range(len(net.operations) + 1)
        ]


@dataclass(frozen=True)
class LocalOutcome:
    """A unit's loss, its gradient at the unit's output, and at the head's own parameters by name."""

    loss: float
    delta: Array
    gradients: dict[str, Array] = field(default_factory=dict)


Head = Callable[[Array, Array], LocalOutcome]
GLOBAL = Local()


@dataclass(frozen=True)
class Outcome:
    logits: Array
    loss: float
    gradients: dict[str, Array]
    """By parameter name; `feedback.LAYER` for a learned B. A parameter without a gradient is absent."""
    input_delta: Array
    local_losses: list[float]
    learned_projections: list[Array]
    """The gradients (classes, units) of the projections in the order of the taps, where they learn."""


def feedback_layers(net: Network, rule: Rule, local: Local = GLOBAL) -> set[str]:
    """The layers whose error travels by a B: those before which something of the same unit has parameters."""
    part = local.parts(net)
    found = set()
    for index, op in enumerate(net.operations):
        before = [net.operations[v - 1] for v in net.behind(index + 1) - {0, index + 1} if part[v] == part[index + 1]]
        if rule.has_feedback(op) and any(other.name for other in before):
            found.add(op.name)
    return found


def shared_values(net: Network, rule: Rule) -> dict[str, int]:
    """For each convolution the value whose activation stands in its weight gradient (own input: absent).

    c0 is not in a group, c1 takes its own input. c_i, i >= 2, is in group g = floor((i - 2) / k), whose activation is
    the input of the last layer of the group before, c_(k g + 1).
    """
    if not rule.shares:
        return {}
    leaders: dict[str, int] = {}
    group_start = 2
    while group_start < len(net.main):
        activation = net.input_of(net.main[group_start - 1])
        for member in net.main[group_start : group_start + rule.k]:
            leaders[member] = activation
        group_start += rule.k
    return leaders | {s: leaders[main] for s, main in net.beside.items() if main in leaders}


def by_groups(fixed: Array, delta: Array) -> Array:
    """PFA's B^T delta over the channels of each group; `fixed` is B, (groups, outputs, units)."""
    parts = [np.moveaxis(part, 1, -1) @ b for b, part in zip(fixed, np.split(delta, len(fixed), axis=1), strict=True)]
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, 1)


def with_signs_of(weight: Array, sizes: Array | None) -> Array:
    """Sign-symmetry's B = |M| sign(W); without M, the deviation of U(+-1/sqrt(fan_in))."""
    bound = 1 / np.sqrt(np.prod(weight.shape[1:]))
    return np.sign(weight) * (bound / np.sqrt(3) if sizes is None else np.abs(sizes))


def mirrored(
    net: Network,
    parameters: Arrays,
    x: Array,
    feedback: Arrays,
    noise: Callable[[str, tuple[int, ...]], Array],
    *,
    eta: float,
    decay: float,
) -> dict[str, Array]:
    """One step of the weight mirrors: B becomes (1 - decay) B + eta <y n^T>, the layer's y = W n for noise n.

    <> is the mean over examples and positions. `noise` returns the noise of a layer by its name and the shape of one
    example: for a convolution just as large as it takes for the layer's positions, at most 8 x 8.
    """
    values, _ = forward(net.operations, parameters, x)
    found = {}
    for op in net.weight_layers():
        if op.name not in feedback:
            continue
        weight, shape = parameters[f"{op.name}.weight"], values[op.inputs[0]].shape[1:]
        if op.kind == "linear":
            given = noise(op.name, shape)
            response = given @ weight.T
            products = response.T @ given
        else:
            positions = [min(side, 8) for side in values[net.operations.index(op) + 1].shape[2:]]
            maps = [op.settings["stride"] * (n - 1) + k for n, k in zip(positions, weight.shape[2:], strict=True)]
            given = noise(op.name, (shape[0], *maps))
            settings = op.settings | {"padding": 0}
            response = conv(given, weight, settings)
            products, _ = conv_backward(response, given, weight, given.shape, settings=settings)
        found[op.name] = (1 - decay) * feedback[op.name] + eta * products / (response.size / response.shape[1])
    return found


def run(  # noqa: PLR0912 - one branch a kind of operation
    net: Network,
    parameters: Arrays,
    x: Array,
    y: Array,
    rule: Rule,
    *,
    feedback: Arrays,
    projections: list[Array] | None = None,
    kernels: Arrays | None = None,
    stand_ins: Arrays | None = None,
    factors: Mapping[str, tuple[Array, Array]] | None = None,
    local: Local = GLOBAL,
    smoothing: float = 0.0,
) -> Outcome:
    """Logits, loss and every gradient under `rule`, with the feedback weights, DFA's projections (classes, units) in
    the order of the taps, the fixed 1x1 kernels of random matching, Forward Alignment's C, and the units' heads."""
    values, caches = forward(net.operations, parameters, x)
    logits = values[-1]
    loss, error = cross_entropy(logits, y, smoothing)

    shared, kernels, part = shared_values(net, rule), kernels or {}, local.parts(net)
    with_feedback = feedback_layers(net, rule, local)
    deltas: list[Array | None] = [None] * len(values)
    deltas[-1] = local.output_share * error
    projected = dict(zip(net.taps, projections or [], strict=True)) if rule.projects else {}
    entering = rule.projected(error, y)
    approximate = approximate_inputs(net, parameters, values, rule, stand_ins) if stand_ins else {}
    gradients: dict[str, Array] = {}
    local_losses = []
    for end, head in local.units:
        outcome = head(values[end], y)
        deltas[end] = outcome.delta
        gradients |= outcome.gradients
        local_losses.append(outcome.loss)
    trained = [op.name for op in net.weight_layers()]
    if rule.shares and rule.stem == "fixed":
        trained.remove(net.main[0])

    def add_delta(value: int, delta: Array, *, reader: int) -> None:
        if part[value] == part[reader] or value == 0:
            deltas[value] = delta if deltas[value] is None else deltas[value] + delta

    for index in reversed(range(len(net.operations))):
        op, value = net.operations[index], index + 1
        delta = deltas[value]
        if value in projected:
            delta = (entering @ projected[value]).reshape(values[value].shape)
        assert delta is not None
        own = values[op.inputs[0]]
        if op.kind in ("conv", "linear"):
            weight = parameters[f"{op.name}.weight"]
            source = approximate.get(op.name, own)
            if op.name in shared and (rule.shares_forward or op.name in with_feedback):
                source = matched(values[shared[op.name]], own.shape, rule.matching, kernels.get(op.name))
            back = feedback[op.name] if op.name in with_feedback else weight
            if op.kind == "conv":
                d_feedback, d_input = conv_backward(delta, source, back, own.shape, settings=op.settings)
                d_weight = d_feedback
                if op.name in shared and not rule.shares_forward:
                    d_weight, _ = conv_backward(delta, own, back, own.shape, settings=op.settings)
                d_bias = delta.sum((0, 2, 3))
            else:
                d_weight, d_input, d_bias = delta.T @ source, delta @ back, delta.sum(0)
                d_feedback = d_weight
            if op.name in trained:
                gradients[f"{op.name}.weight"] = d_weight
                if f"{op.name}.bias" in parameters:
                    gradients[f"{op.name}.bias"] = d_bias
            if factors and op.name in factors:
                fixed, learned = factors[op.name]
                between = by_groups(fixed, delta)
                if op.kind == "conv":
                    d_learned, d_input = conv_backward(between, own, learned, own.shape, settings=op.settings)
                else:
                    d_learned, d_input = between.T @ own, between @ learned
                gradients[f"feedback.{op.name}"] = d_learned
            if rule.learns(op) and op.name in with_feedback:
                gradients[f"feedback.{op.name}"] = d_feedback
            add_delta(op.inputs[0], d_input, reader=value)
        elif op.kind == "batchnorm":
            d_input, d_gamma, d_beta = batchnorm_backward(delta, caches[index], parameters[f"{op.name}.weight"])
            gradients[f"{op.name}.weight"], gradients[f"{op.name}.bias"] = d_gamma, d_beta
            add_delta(op.inputs[0], d_input, reader=value)
        else:
            for source_value, d_input in zip(op.inputs, BACKWARD[op.kind](delta, own, caches[index]), strict=True):
                add_delta(source_value, d_input, reader=value)
    assert deltas[0] is not None
    taps = net.taps if rule.name == "dkp" else []
    learned = [entering.T @ values[tap].reshape(len(y), -1) for tap in taps]
    return Outcome(logits, loss, gradients, deltas[0], local_losses, learned)


def approximate_inputs(
    net: Network, parameters: Arrays, values: list[Array], rule: Rule, stand_ins: Arrays
) -> dict[str, Array]:
    """For each layer behind another the h~ that takes its input's place: eq. 26, phi~ as the option says.

    For the layer before it, with input h, h~ = phi~(C h) or, by the other source, phi~(C h~) with h~ = h at first.
    """
    found: dict[str, Array] = {}
    layers = net.weight_layers()
    for layer, behind in pairwise(layers):
        first, last = net.operations.index(layer), net.operations.index(behind)
        between = {op.kind: op.name for op in net.operations[first + 1 : last]}
        h = values[layer.inputs[0]]
        if rule.source == "approximation":
            h = found.get(layer.name, h)
        approximation = h @ stand_ins[layer.name].T
        if "batchnorm" in between and rule.approximate != "none":
            statistics = approximation
            if rule.approximate == "own":
                approximation = approximation + parameters[f"{layer.name}.bias"]
                statistics = values[first + 1]
            approximation = (approximation - statistics.mean(0)) / np.sqrt(statistics.var(0) + EPSILON)
            if rule.approximate in ("affine", "own"):
                name = between["batchnorm"]
                approximation = approximation * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]
        if "relu" in between and rule.approximate not in ("none", "linear"):
            approximation = np.maximum(approximation, 0)
        found[behind.name] = approximation
    return found


def matched(shared: Array, wanted: tuple[int, ...], mode: str, kernel: Array | None) -> Array:
    """D.2: clones concatenated along the channels and cut, then pooled; or a fixed random 1x1 convolution."""
    channels, height, width = wanted[1:]
    if mode == "random":
        if shared.shape[1:] == (channels, height, width):
            return shared
        assert kernel is not None
        assert kernel.shape == (channels, shared.shape[1], 1, 1)
        stride = round(shared.shape[2] / height)
        picked = shared[:, :, ::stride, ::stride]
        assert picked.shape[2:] == (height, width)
        return np.einsum("nchw,oc->nohw", picked, kernel[:, :, 0, 0])
    clones = np.concatenate([shared] * (channels // shared.shape[1] + 1), axis=1)[:, :channels]
    reduce = np.max if mode == "max" else np.mean
    return adaptive(clones, (height, width), reduce)
