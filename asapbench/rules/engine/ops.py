"""The operations that a model's dataflow may have, and which kind of operation a node of it is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx, nn


@dataclass(frozen=True)
class Kind:
    """One kind of operation: as modules, as functions and as methods of a tensor."""

    modules: tuple[type[nn.Module], ...] = ()
    functions: frozenset[Callable[..., object]] = frozenset()
    methods: frozenset[str] = frozenset()

    def has(self, node: fx.Node, program: fx.GraphModule) -> bool:
        """Whether a node of `program` is such an operation."""
        if node.op == "call_module":
            return isinstance(program.get_submodule(str(node.target)), self.modules)
        if node.op == "call_function":
            return node.target in self.functions
        return node.op == "call_method" and node.target in self.methods


RELU = Kind(
    modules=(nn.ReLU,),
    functions=frozenset({torch.relu, torch.relu_, F.relu, F.relu_}),
    methods=frozenset({"relu", "relu_"}),
)
ACTIVATION = Kind(
    modules=(
        *RELU.modules, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid,
        nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish,
    ),
    functions=RELU.functions | {
        torch.tanh, torch.sigmoid, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.tanh, F.sigmoid, F.softplus,
        F.hardtanh, F.hardswish,
    },
    methods=RELU.methods | {"tanh", "sigmoid"},
)  # fmt: skip
"""Elementwise nonlinearities."""
MAX_POOL = Kind(
    modules=(nn.MaxPool2d, nn.AdaptiveMaxPool2d),
    functions=frozenset({F.max_pool2d, F.adaptive_max_pool2d, torch.max_pool2d}),
)
_AVERAGE_POOL = Kind(
    modules=(nn.AvgPool2d, nn.AdaptiveAvgPool2d), functions=frozenset({F.avg_pool2d, F.adaptive_avg_pool2d})
)
POOL = Kind(modules=(*MAX_POOL.modules, *_AVERAGE_POOL.modules), functions=MAX_POOL.functions | _AVERAGE_POOL.functions)
_PADDING = Kind(modules=(nn.ZeroPad2d,), functions=frozenset({F.pad}))
ADDITION = Kind(functions=frozenset({operator.add, operator.iadd, torch.add}), methods=frozenset({"add", "add_"}))
_OTHER = Kind(
    modules=(
        nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d,
    ),
    functions=frozenset({torch.flatten}),
    methods=frozenset({"flatten", "view", "reshape", "contiguous", "size"}),
)  # fmt: skip
_SUPPORTED = (ACTIVATION, POOL, _PADDING, ADDITION, _OTHER)

CONCATENATIONS: frozenset[Callable[..., object]] = frozenset(
    {torch.cat, torch.concat, torch.concatenate, torch.stack, torch.hstack}
)


def is_supported(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether a rule can be attached to what a function or a method computes."""
    return any(kind.has(node, program) for kind in _SUPPORTED) or _reads_size(node) or slices_examples(node)


def is_supported_module(module: nn.Module) -> bool:
    """Whether a rule can be attached to a module of this very type: a subclass may compute anything."""
    return any(type(module) in kind.modules for kind in _SUPPORTED)


def is_in_place(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether a node changes its first input."""
    if node.op == "call_module":
        return getattr(program.get_submodule(str(node.target)), "inplace", False) is True
    if node.op == "call_method":
        return str(node.target).endswith("_")
    if node.op != "call_function":
        return False
    return node.target in (operator.iadd, torch.relu_, F.relu_) or bool(node.kwargs.get("inplace"))


def _reads_size(node: fx.Node) -> bool:
    """Whether a call reads a tensor's shape, or one number of it: `x.shape`, `x.shape[0]`."""
    if node.target is getattr:
        return str(node.args[1]) == "shape"
    if node.target is not operator.getitem or not isinstance(node.args[0], fx.Node):
        return False
    return node.args[0].target == "size" or (node.args[0].target is getattr and str(node.args[0].args[1]) == "shape")


def slices_examples(node: fx.Node) -> bool:
    """Whether a call takes a slice of each example: `x[:, :, ::2, ::2]`. Not of the batch: labels stay."""
    if node.target is not operator.getitem:
        return False
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    return index[0] in (slice(None), ...) and all(isinstance(part, slice) or part is ... for part in index)
