"""The dataflow of a module: which layer reads what, the main path, shortcuts and activations.

Captured with torch.fx from any module made of convolutions, fully connected layers, BatchNorm, activations, pooling,
additions, and slices and padding of maps. Capturing runs nothing of the module: buffers, modes and random streams stay
as they were. What a rule cannot be attached to is refused by name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.rules.engine.ops import (
    ACTIVATION,
    CONCATENATIONS,
    MAX_POOL,
    POOL,
    is_in_place,
    is_supported,
    is_supported_module,
    slices_examples,
)

WeightModule = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class WeightLayer:
    """A convolution or fully connected layer, the tensor it reads, and whether error must travel through it."""

    name: str
    node: fx.Node
    module: WeightModule
    input: fx.Node
    carries_error: bool

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution."""
        return isinstance(self.module, nn.Conv2d)


@dataclass(frozen=True)
class Dataflow:
    """The captured graph. `main` holds the main path's convolutions c0, c1, ... in forward order, `path` its nodes."""

    program: fx.GraphModule
    layers: tuple[WeightLayer, ...]
    path: tuple[fx.Node, ...] = field(repr=False)
    main: tuple[WeightLayer, ...]
    shapes: dict[str, torch.Size] = field(repr=False)

    @property
    def shortcuts(self) -> tuple[WeightLayer, ...]:
        """Convolutions off the main path."""
        on_path = {layer.name for layer in self.main}
        return tuple(layer for layer in self.layers if layer.is_convolution and layer.name not in on_path)

    @property
    def linears(self) -> tuple[WeightLayer, ...]:
        """Fully connected layers in forward order."""
        return tuple(layer for layer in self.layers if not layer.is_convolution)

    @property
    def chain(self) -> tuple[WeightLayer, ...]:
        """The main path's convolutions, then the fully connected layers."""
        return (*self.main, *self.linears)

    @property
    def classes(self) -> int:
        """Columns of the logits."""
        return int(self.shapes[self.path[-2].name][1])

    def shape(self, node: fx.Node) -> torch.Size:
        """The shape of a node's tensor for the sample, batch first."""
        return self.shapes[node.name]

    def taps(self) -> list[fx.Node]:
        """Outputs of activations, moved past a max-pool that follows directly (where DFA's error enters)."""
        nodes = self.program.graph.nodes
        return [self.behind_max_pool(node) for node in nodes if ACTIVATION.has(node, self.program)]

    def behind_max_pool(self, node: fx.Node) -> fx.Node:
        """`node`, or the last max-pool that follows it directly."""
        while len(node.users) == 1 and MAX_POOL.has(next(iter(node.users)), self.program):
            node = next(iter(node.users))
        return node

    def behind_pool(self, node: fx.Node) -> fx.Node:
        """`node`, or the last pool of any kind that follows it directly and leaves more than one number of a map."""
        while len(node.users) == 1:
            (user,) = node.users
            if not POOL.has(user, self.program) or self.shape(user)[2:].numel() == 1:
                break
            node = user
        return node

    def before_max_pool(self, node: fx.Node) -> fx.Node:
        """`node`; of a max-pool, the pool's input."""
        while MAX_POOL.has(node, self.program):
            (node,) = node.all_input_nodes
        return node


def capture(model: nn.Module, sample: Tensor) -> Dataflow:
    """The dataflow of `model` on inputs shaped like `sample`, (N, C, H, W). Raises GraphError naming the layer."""
    try:
        program = fx.symbolic_trace(model)
    except Exception as error:
        raise GraphError(
            f"{type(model).__name__}: its dataflow cannot be captured ({type(error).__name__}: {error}); "
            "a model's forward must not branch on values"
        ) from error
    _refuse_unsupported(program)
    shapes = _shapes(program, sample)
    layers = tuple(_weight_layers(program))
    if not layers:
        raise GraphError(f"{type(model).__name__}: there is no convolution or fully connected layer to train")
    path = tuple(_main_path(program, layers, shapes))
    by_node = {layer.node: layer for layer in layers if layer.is_convolution}
    return Dataflow(program, layers, path, tuple(by_node[node] for node in path if node in by_node), shapes)


def _refuse_unsupported(program: fx.GraphModule) -> None:
    seen: set[str] = set()
    for node in program.graph.nodes:
        if node.op == "call_module":
            name, module = str(node.target), program.get_submodule(str(node.target))
            _refuse_module(name, module)
            if next(module.parameters(), None) is not None and name in seen:
                raise GraphError(f"{name}: called twice; a rule needs one error signal for each weight")
            seen.add(name)
        elif node.op == "get_attr":
            raise GraphError(f"{node.target}: a parameter or buffer used outside a layer is not supported")
        elif node.op == "call_function" and node.target in CONCATENATIONS:
            raise GraphError(f"{node.name}: concatenation is not supported; there is one main path to share along")
        elif node.op in ("call_function", "call_method") and not is_supported(node, program):
            what = "tensor method" if node.op == "call_method" else "operation"
            raise GraphError(
                f"{node.name}: the {what} {getattr(node.target, '__name__', node.target)} is not supported"
            )
    _refuse_hidden_changes(program)
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise GraphError(f"the model takes {len(inputs)} inputs; a rule needs exactly one")


def _refuse_hidden_changes(program: fx.GraphModule) -> None:
    """An in-place operation must be used through its result: the graph cannot see that its input has changed."""
    order = {node: place for place, node in enumerate(program.graph.nodes)}
    for node in program.graph.nodes:
        if is_in_place(node, program):
            if slices_examples(node.args[0]):
                raise GraphError(
                    f"{node.name}: changes a slice in place, and what it is a slice of; use a copy instead"
                )
            for user in node.args[0].users:
                if order[user] > order[node]:
                    raise GraphError(
                        f"{node.name}: changes its input in place, which {user.name} then reads; use the result instead"
                    )


def _refuse_module(name: str, module: nn.Module) -> None:
    if not is_supported_module(module):
        raise GraphError(f"{name}: a layer of kind {type(module).__name__} is not supported")
    if isinstance(module, nn.Conv2d) and (module.padding_mode != "zeros" or isinstance(module.padding, str)):
        raise GraphError(f"{name}: padding must be given in numbers and filled with zeros")


def _shapes(program: fx.GraphModule, sample: Tensor) -> dict[str, torch.Size]:
    """The shapes that blank examples leave in a copy, so that nothing is counted."""
    # Not by meta tensors: their BatchNorm is written in Python and imports torch's compiler, which takes seconds.
    found = _Shapes(copy.deepcopy(program).eval())
    like = next(program.parameters(), sample)
    try:
        with torch.no_grad():
            found.run(torch.zeros(sample.shape, dtype=like.dtype, device=like.device))
    except Exception as error:
        raise GraphError(
            f"{found.node.target}: inputs of shape {tuple(sample.shape)} do not fit the model: {error}"
        ) from error
    return found.shapes


class _Shapes(fx.Interpreter):
    """Runs a program and notes the shape of every node's tensor; `node` is the last one that it came to."""

    def __init__(self, program: fx.GraphModule) -> None:
        super().__init__(program)
        self.extra_traceback = False
        self.shapes: dict[str, torch.Size] = {}
        self.node: fx.Node

    def run_node(self, n: fx.Node) -> Any:
        """The node's value."""
        self.node = n
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n.name] = value.shape
        return value


def carrying_error(program: fx.GraphModule) -> set[fx.Node]:
    """The nodes through which error must travel back: to parameters before them, unless a detach lies between."""
    carrying: set[fx.Node] = set()
    reached: set[fx.Node] = set()
    for node in program.graph.nodes:
        if any(parent in reached for parent in node.all_input_nodes):
            carrying.add(node)
        module = program.get_submodule(str(node.target)) if node.op == "call_module" else None
        has_parameters = module is not None and next(module.parameters(), None) is not None
        if (node in carrying and node.target != "detach") or has_parameters:
            reached.add(node)
    return carrying


def _weight_layers(program: fx.GraphModule) -> Iterator[WeightLayer]:
    carrying = carrying_error(program)
    for node in program.graph.nodes:
        module = program.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield WeightLayer(str(node.target), node, module, node.all_input_nodes[0], node in carrying)


def _main_path(
    program: fx.GraphModule, layers: tuple[WeightLayer, ...], shapes: dict[str, torch.Size]
) -> list[fx.Node]:
    """The path from input to output with the most convolutions. Raises GraphError on a tie."""
    convolutions = {layer.node for layer in layers if layer.is_convolution}
    most: dict[fx.Node, int] = {}
    chosen: dict[fx.Node, fx.Node | None] = {}
    ties: dict[fx.Node, list[fx.Node]] = {}
    for node in program.graph.nodes:
        parents = [parent for parent in node.all_input_nodes if parent.name in shapes]
        best = max((most[parent] for parent in parents), default=0)
        leading = [parent for parent in parents if most[parent] == best]
        most[node] = best + (node in convolutions)
        chosen[node] = leading[0] if leading else None
        if len(leading) > 1:
            ties[node] = leading
    path: list[fx.Node] = []
    node = next(node for node in program.graph.nodes if node.op == "output")
    while node is not None:
        if node in ties:
            names = " and ".join(str(parent.target) for parent in ties[node])
            raise GraphError(f"{node.name}: a tie between paths, {names} lie behind equally many convolutions")
        path.append(node)
        node = chosen[node]
    return path[::-1]
