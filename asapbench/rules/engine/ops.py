"""The operations that a model's dataflow may have, and which kind of operation a node of it is."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import fx, nn

from asapbench.rules.engine.attention import SelfAttention


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
PRODUCT = Kind(
    functions=frozenset({operator.matmul, torch.matmul, torch.bmm, torch.einsum, F.scaled_dot_product_attention}),
    methods=frozenset({"matmul", "bmm"}),
)
"""Matrix products of tensors, as in attention. Of a parameter they would be a layer that no rule reaches."""
UNBIND = Kind(functions=frozenset({torch.unbind}), methods=frozenset({"unbind"}))
SEVERAL = Kind(functions=UNBIND.functions | {torch.chunk, torch.split}, methods=UNBIND.methods | {"chunk", "split"})
"""What returns several tensors, parts of the input along one dimension."""
SAME_MEMORY = Kind(
    modules=(nn.Flatten, nn.Unflatten, nn.Identity, nn.Dropout, nn.Dropout2d),
    functions=SEVERAL.functions | {
        torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.swapaxes, torch.movedim, torch.unsqueeze,
        torch.squeeze,
    },
    methods=SEVERAL.methods | {
        "flatten", "unflatten", "view", "reshape", "contiguous", "permute", "transpose", "swapaxes", "movedim",
        "unsqueeze", "squeeze", "expand",
    },
)  # fmt: skip
"""What may return memory of its input."""
_MOVED = Kind(
    functions=frozenset({
        torch.permute, torch.transpose, torch.swapaxes, torch.movedim, torch.unsqueeze, torch.squeeze, torch.unbind,
        torch.stack,
    }),
    methods=frozenset({"permute", "transpose", "swapaxes", "movedim", "unsqueeze", "squeeze", "unbind"}),
)  # fmt: skip
_OTHER = Kind(
    modules=(
        nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.Softmax, SelfAttention,
    ),
    functions=frozenset({
        torch.cat, torch.concat, torch.concatenate, torch.stack, torch.hstack, operator.mul, torch.mul, operator.sub,
        torch.sub, operator.truediv, torch.div, operator.neg, torch.neg, torch.softmax, F.softmax, torch.mean,
        F.layer_norm, F.group_norm,
    }),
    methods=frozenset({"mul", "sub", "div", "neg", "softmax", "mean"}),
)  # fmt: skip
_SUPPORTED = (ACTIVATION, POOL, _PADDING, ADDITION, PRODUCT, SAME_MEMORY, _OTHER)
"""Between layers, a rule uses the exact derivative of each."""

_ON_SIZES = frozenset({
    operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.pow,
    operator.eq, torch._assert,
})  # fmt: skip


def is_supported(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether a rule can be attached to what a function or a method computes."""
    if "out" in node.kwargs:
        return False
    return any(kind.has(node, program) for kind in _SUPPORTED) or is_size(node) or _is_part(node)


def is_supported_module(module: nn.Module) -> bool:
    """Whether a rule can be attached to a module of this very type: a subclass may compute anything."""
    return any(type(module) in kind.modules for kind in _SUPPORTED) or is_one_operation(module)


def is_one_operation(module: nn.Module) -> bool:
    """Whether a module says so (`is_one_operation`): then it is not looked into, and its exact derivative holds.

    Such a module has no parameters or buffers and keeps the shape of its input: a normalisation. A unit of local
    learning ends in front of it.
    """
    has_state = next(module.parameters(), next(module.buffers(), None)) is not None
    return bool(getattr(module, "is_one_operation", False)) and not has_state


def may_share_memory(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether the result of a node may be memory of its first input: a view of it, or the input itself."""
    return SAME_MEMORY.has(node, program) or (_is_part(node) and not is_size(node)) or is_in_place(node, program)


def moves_dimensions(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether the batch may be another dimension of the result than of the input."""
    if _is_part(node) and not is_size(node):
        if _is_tuple(node.all_input_nodes[0], program):
            return False  # one of several tensors, as it is
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        return any(part is None or isinstance(part, int) for part in index)
    return _MOVED.has(node, program)


def is_in_place(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether a node changes its first input."""
    if node.op == "call_module":
        return getattr(program.get_submodule(str(node.target)), "inplace", False) is True
    if node.op == "call_method":
        return str(node.target).endswith("_")
    if node.op != "call_function":
        return False
    if node.target in (operator.iadd, torch.relu_, F.relu_) or bool(node.kwargs.get("inplace")):
        return True
    return ACTIVATION.has(node, program) and any(argument is True for argument in node.args)


def is_size(node: fx.Node) -> bool:
    """Whether a node is a tensor's shape, a number of it, or computed from such numbers: `x.shape[1] // 2`."""
    if node.op == "call_method":
        return node.target in ("size", "dim")
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return str(node.args[1]) in ("shape", "ndim")
    if node.target is operator.getitem or node.target in _ON_SIZES:
        return bool(node.all_input_nodes) and all(map(is_size, node.all_input_nodes))
    return False


def _is_tuple(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether the result of a node is several tensors: that of `torch.chunk`, or a slice of it."""
    if _is_part(node):
        return isinstance(node.args[1], slice) and _is_tuple(node.all_input_nodes[0], program)
    return SEVERAL.has(node, program)


def _is_part(node: fx.Node) -> bool:
    """Whether a node takes one of several tensors, or a part of a tensor at fixed places: `x[:, 0]`."""
    if node.op != "call_function" or node.target is not operator.getitem:
        return False
    index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    return all(part is None or part is ... or isinstance(part, int) or _is_fixed(part) for part in index)


def _is_fixed(part: object) -> bool:
    """Whether a slice has the same bounds for all inputs of one shape."""
    if not isinstance(part, slice):
        return False
    return all(not isinstance(bound, fx.Node) or is_size(bound) for bound in (part.start, part.stop, part.step))


def place_of(node: fx.Node) -> str:
    """What an error calls a node: the module's name, or that of the operation in the trace."""
    return str(node.target) if node.op == "call_module" else node.name
