"""The gradients that a rule's declaration gives, by plain autograd and torch's own operations.

A layer whose error travels through B computes W x of a detached x, which gives dW, and adds B x minus its own value:
zero, whose gradient with respect to x is that of B alone. No autograd function of a rule is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


class Reference(fx.Interpreter):
    """Runs a plain program with the error of each layer of `feedback` through that B.

    `outputs` and `inputs` keep what each weight layer returned and read, `watched` the values of the nodes `watch`.
    """

    def __init__(self, program: fx.GraphModule, feedback: Mapping[str, Tensor], *, watch: frozenset[str]) -> None:
        super().__init__(program)
        self.extra_traceback = False
        self.feedback = feedback
        self.watch = watch
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.watched: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The node's value, which is kept if it is asked for."""
        value = super().run_node(n)
        if n.name in self.watch:
            self.watched[n.name] = value
        return value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A weight layer with its error path; any other module as it is."""
        module = self.fetch_attr(target)
        if not isinstance(module, nn.Conv2d | nn.Linear):
            return super().call_module(target, args, kwargs)
        (x,) = args
        operation = operation_of(module)
        if target in self.feedback:
            back = operation(x, self.feedback[target].detach())
            out = operation(x.detach(), module.weight, module.bias) + (back - back.detach())
        else:
            out = operation(x, module.weight, module.bias)
        self.inputs[target], self.outputs[target] = x.detach(), out
        return out


def operation_of(module: nn.Conv2d | nn.Linear) -> Callable[..., Tensor]:
    """The layer's operation of (input, weight) or (input, weight, bias)."""
    if isinstance(module, nn.Linear):
        return F.linear
    assert not isinstance(module.padding, str)
    return partial(
        F.conv2d, stride=module.stride, padding=module.padding, dilation=module.dilation, groups=module.groups
    )


def weight_gradient(module: nn.Conv2d | nn.Linear, source: Tensor, delta: Tensor) -> Tensor:
    """The correlation of `source`, in place of the layer's input, with the error `delta` at its output."""
    weight = torch.zeros_like(module.weight, requires_grad=True)
    (found,) = torch.autograd.grad(operation_of(module)(source, weight), weight, delta)
    return found


def fitted(shared: Tensor, wanted: torch.Size) -> list[Tensor]:
    """`shared` (N, C, H, W) made to fit `wanted`: channels repeated, maps pooled by maximum and by average."""
    if shared.dim() != len(wanted):
        return []
    if shared.dim() == 2:
        return [shared] if shared.shape == wanted else []
    if shared.shape[2] < wanted[2] or shared.shape[3] < wanted[3]:
        return []
    times = -(-wanted[1] // shared.shape[1])
    repeated = shared.repeat(1, times, 1, 1)[:, : wanted[1]]
    size = (int(wanted[2]), int(wanted[3]))
    if repeated.shape[2:] == wanted[2:]:
        return [repeated]
    return [F.adaptive_max_pool2d(repeated, size), F.adaptive_avg_pool2d(repeated, size)]
