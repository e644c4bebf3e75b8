"""The float64 NumPy oracle of PEPITA (Dellaferrera and Kreiman 2022), on the networks and operations of `oracle`.

Written from the paper's equations: e = h_L - y*; h^err are the values for the input x + F e; dW_l = (h_l - h_l^err)
(h_(l-1)^err)^T with h_l behind the activation, and dW_L = e (h_(L-1)^err)^T. Means over the batch, and over the
positions of maps. BatchNorm and additions in front of an activation are differentiated; no error passes an activation.
"""

from __future__ import annotations

from typing import Any

from numpy_operations import (
    BACKWARD,
    Array,
    Arrays,
    Operation,
    batchnorm_backward,
    conv_backward,
    cross_entropy,
    forward,
)
from oracle import Network, Outcome


def run(
    net: Network,
    parameters: Arrays,
    x: Array,
    y: Array,
    *,
    projection: Array,
    second_error: bool = False,
    smoothing: float = 0.0,
) -> Outcome:
    """Logits and loss of the first pass, and every gradient; `projection` is F^T (classes, inputs)."""
    before, _ = forward(net.operations, parameters, x)
    loss, error = cross_entropy(before[-1], y, smoothing)
    disturbed = x + (len(y) * error @ projection).reshape(x.shape)
    after, caches = forward(net.operations, parameters, disturbed)
    if second_error:
        _, error = cross_entropy(after[-1], y, smoothing)
    deltas: dict[int, Array] = {len(after) - 1: error}
    gradients: dict[str, Array] = {}
    for index in reversed(range(len(net.operations))):
        op, value = net.operations[index], index + 1
        if op.kind == "relu":
            positions = after[value][0, 0].size
            deltas[op.inputs[0]] = (before[value] - after[value]) / (len(y) * positions)
        elif value in deltas:
            found, passed = _backward(op, deltas[value], after[op.inputs[0]], cache=caches[index], given=parameters)
            gradients |= {f"{op.name}.{key}": g for key, g in found.items() if f"{op.name}.{key}" in parameters}
            deltas |= dict(zip(op.inputs, passed, strict=False))
    return Outcome(before[-1], loss, gradients, x, [], [])


def _backward(
    op: Operation, delta: Array, source: Array, *, cache: Any, given: Arrays
) -> tuple[dict[str, Array], tuple[Array, ...]]:
    """The gradients of an operation's parameters, and the errors at its inputs.

    A weight layer passes none on: its input is an activation.
    """
    if op.kind == "conv":
        weight = given[f"{op.name}.weight"]
        d_weight, _ = conv_backward(delta, source, weight, source.shape, settings=op.settings)
        return {"weight": d_weight, "bias": delta.sum((0, 2, 3))}, ()
    if op.kind == "linear":
        return {"weight": delta.T @ source, "bias": delta.sum(0)}, ()
    if op.kind == "batchnorm":
        d_input, d_gamma, d_beta = batchnorm_backward(delta, cache, given[f"{op.name}.weight"])
        return {"weight": d_gamma, "bias": d_beta}, (d_input,)
    return {}, BACKWARD[op.kind](delta, source, cache)
