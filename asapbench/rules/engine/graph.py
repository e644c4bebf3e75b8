"""The dataflow of a module: which layer reads what, the main path, shortcuts and activations.

Captured with torch.fx from any module made of the layers and operations that `ops` lists; what is between layers keeps
its exact derivative under every rule. Capturing runs nothing of the module: buffers, modes and random streams stay as
they were. What a rule cannot be attached to is refused by name.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.rules.engine.attention import write_out_attention
from asapbench.rules.engine.ops import (
    ACTIVATION,
    MAX_POOL,
    POOL,
    PRODUCT,
    SEVERAL,
    UNBIND,
    is_in_place,
    is_size,
    is_supported,
    is_supported_module,
    may_share_memory,
    moves_dimensions,
    place_of,
)
from asapbench.rules.engine.tracing import traced

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
    """The captured graph. `classes` is the number of logits.

    `examples_first` names the nodes that the input reaches whose tensor has the batch as its first dimension.
    `shapes` has no entry for what is no tensor: sizes, and the tuples of `torch.chunk` and its kind.
    """

    program: fx.GraphModule
    layers: tuple[WeightLayer, ...]
    classes: int
    shapes: dict[str, torch.Size] = field(repr=False)
    examples_first: frozenset[str] = field(repr=False)
    found_path: tuple[fx.Node, ...] | GraphError = field(repr=False)

    @property
    def path(self) -> tuple[fx.Node, ...]:
        """The nodes of the main path, from input to output. Raises GraphError where two paths have equal claims."""
        if isinstance(self.found_path, GraphError):
            raise self.found_path
        return self.found_path

    @property
    def main(self) -> tuple[WeightLayer, ...]:
        """The main path's convolutions c0, c1, ... in forward order. Raises GraphError as `path`."""
        by_node = {layer.node: layer for layer in self.layers if layer.is_convolution}
        return tuple(by_node[node] for node in self.path if node in by_node)

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

    def shape(self, node: fx.Node) -> torch.Size:
        """The shape of a node's tensor for the sample, batch first."""
        return self.shapes[node.name]

    def taps(self) -> list[fx.Node]:
        """Outputs of activations, moved past a max-pool that follows directly (where DFA's error enters)."""
        return [self.behind_max_pool(node) for node in activations_of(self.program)]

    def require_all_behind(self, taps: Collection[fx.Node], *, rule: str) -> None:
        """Raises GraphError unless `taps` cut every layer but the last ones off the output's own error.

        An error that is led to the taps says how each layer before one of them is trained; the layers behind them learn
        by the output's error. A shortcut past all taps would bring that to other layers too.
        """
        if not taps:
            raise GraphError(f"{rule}: the network has no activation for the projected error to enter at")
        if apart := next((tap for tap in taps if tap.name not in self.examples_first), None):
            shape = tuple(self.shape(apart))
            raise GraphError(f"{place_of(apart)}: an activation of shape {shape}, where {rule} needs the batch first")
        exact = {self.program.graph.output_node()}  # what the output's error reaches
        projected: set[fx.Node] = set()
        for node in reversed(self.program.graph.nodes):
            if node not in taps and not exact.isdisjoint(node.users):
                exact.add(node)
            if any(user in projected or user in taps for user in node.users):
                projected.add(node)
        for layer in self.layers:
            if layer.node in exact and layer.node in projected:
                raise GraphError(
                    f"{layer.name}: the output's own error reaches this layer on a shortcut past every activation, so "
                    f"{rule} would leave it to backpropagation; put an activation behind the last addition, or use a "
                    "rule with an error path of its own for each layer, such as fa or kp"
                )
        if not any(layer.node in exact for layer in self.layers):
            raise GraphError(
                f"{rule}: an activation is behind the last layer, which learns by the output's own error; leave it out"
            )

    def behind_max_pool(self, node: fx.Node) -> fx.Node:
        """`node`, or the last max-pool that follows it directly."""
        while len(node.users) == 1:
            (user,) = node.users
            if not MAX_POOL.has(user, self.program) or user.name not in self.shapes:  # one may return indices, too
                break
            node = user
        return node

    def behind_pool(self, node: fx.Node) -> fx.Node:
        """`node`, or the last pool of any kind that follows it directly and leaves more than one number of a map."""
        while len(node.users) == 1:
            (user,) = node.users
            is_pool = POOL.has(user, self.program) and user.name in self.shapes
            if not is_pool or self.shape(user)[2:].numel() == 1:
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
    program = _traced(model)
    write_out_attention(program)
    _refuse_unsupported(program)
    _refuse_parameters_outside_layers(program)
    _refuse_hidden_changes(program)
    shapes = _shapes(program, sample)
    no_examples = {node.name for node in made_of_attributes(program)}
    examples_first = frozenset(_examples_first(program, sample, shapes)) - no_examples
    _refuse_parts_of_a_batch(program, examples_first, shapes)
    classes = _classes(program, shapes, examples_first)
    layers = tuple(_weight_layers(program))
    if not layers:
        raise GraphError(f"{type(model).__name__}: there is no convolution or fully connected layer to train")
    return Dataflow(program, layers, classes, shapes, examples_first, _main_path(program, layers))


def _traced(model: nn.Module) -> fx.GraphModule:
    """The program of `model`, the same in training and in evaluation. Raises GraphError."""
    modes = [(module, module.training) for module in model.modules()]
    attributes = set(vars(model))
    try:
        program = traced(model)
        for module, training in modes:
            module.training = not training
        other = traced(model)
    except Exception as error:
        raise GraphError(
            f"{type(model).__name__}: its dataflow cannot be captured ({type(error).__name__}: {error}); "
            "a model's forward must not branch on values"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
        made = sorted(set(vars(model)) - attributes)
        for name in made:  # torch.fx leaves tensors that forward makes there
            delattr(model, name)
    if made:
        raise GraphError(
            f"{type(model).__name__}: forward makes a tensor of its own ({made[0]} of the trace); register it as a "
            "buffer or a parameter"
        )
    for node, twin in zip(program.graph.nodes, other.graph.nodes, strict=False):
        if str((node.op, node.target, node.args, node.kwargs)) != str((twin.op, twin.target, twin.args, twin.kwargs)):
            raise GraphError(
                f"{place_of(node)}: computed otherwise in training than in evaluation; a rule needs one dataflow, so "
                "let modules such as nn.Dropout make the difference"
            )
    return program


def _refuse_unsupported(program: fx.GraphModule) -> None:
    called: set[str] = set()
    owners: dict[nn.Parameter, str] = {}
    for node in program.graph.nodes:
        if node.op == "call_module":
            name, module = str(node.target), program.get_submodule(str(node.target))
            _refuse_module(name, module)
            for parameter in module.parameters():
                if (other := owners.setdefault(parameter, name)) != name:
                    raise GraphError(
                        f"{name}: shares a weight with {other}; a rule needs one error signal for each weight"
                    )
            if name in called and next(module.parameters(), None) is not None:
                raise GraphError(f"{name}: called twice; a rule needs one error signal for each weight")
            called.add(name)
        elif node.op in ("call_function", "call_method") and not is_supported(node, program):
            what = "tensor method" if node.op == "call_method" else "operation"
            raise GraphError(
                f"{node.name}: the {what} {getattr(node.target, '__name__', node.target)} is not supported"
            )
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise GraphError(f"the model takes {len(inputs)} inputs; a rule needs exactly one")


def _refuse_parameters_outside_layers(program: fx.GraphModule) -> None:
    """A parameter of the model's own may be added, concatenated or a factor; what is more is a layer of its own."""
    owners = {
        parameter: str(node.target)
        for node in program.graph.find_nodes(op="call_module")
        for parameter in program.get_submodule(str(node.target)).parameters()
    }
    fixed: dict[fx.Node, fx.Node | None] = {}  # what no input reaches, and a parameter that it is made of
    for node in program.graph.nodes:
        if node.op == "get_attr":
            value = attribute(node, program)
            fixed[node] = node if isinstance(value, nn.Parameter) else None
            if isinstance(value, nn.Parameter) and value in owners:
                raise GraphError(
                    f"{node.target}: a weight of {owners[value]} that is used outside that layer, too; a rule needs "
                    "one error signal for each weight"
                )
        tensors = [parent for parent in node.all_input_nodes if not is_size(parent)]
        if PRODUCT.has(node, program) and (made_of := next((fixed.get(p) for p in tensors if fixed.get(p)), None)):
            raise GraphError(
                f"{made_of.target}: a parameter in the matrix product {node.name}, which would be a layer that no rule "
                "reaches; use nn.Linear"
            )
        if tensors and all(parent in fixed for parent in tensors):
            fixed[node] = next((fixed[parent] for parent in tensors if fixed[parent]), None)


def attribute(node: fx.Node, program: fx.GraphModule) -> Tensor:
    """The parameter or buffer that a `get_attr` node reads. Raises GraphError where it reads anything else."""
    owner, _, name = str(node.target).rpartition(".")
    value = getattr(program.get_submodule(owner), name)
    if not isinstance(value, Tensor):
        raise GraphError(f"{node.target}: an attribute that is no tensor; register it as a buffer or a parameter")
    return value


def _refuse_hidden_changes(program: fx.GraphModule) -> None:
    """An in-place operation must be used through its result: the graph cannot see that its input has changed."""
    order = {node: place for place, node in enumerate(program.graph.nodes)}
    memory: dict[fx.Node, fx.Node] = {}  # whose memory a node's tensor may be
    holders: dict[fx.Node, list[fx.Node]] = {}
    for node in program.graph.nodes:
        first = next(iter(node.all_input_nodes), None)  # given by position or by name
        memory[node] = memory[first] if first is not None and may_share_memory(node, program) else node
        if is_in_place(node, program):
            if memory[node].op == "get_attr":
                raise GraphError(f"{node.name}: changes {memory[node].target} in place; use the result instead")
            for user in (user for holder in holders[memory[node]] for user in holder.users):
                if order[user] > order[node]:
                    raise GraphError(
                        f"{place_of(node)}: changes its input in place, which {place_of(user)} then reads; use the "
                        "result instead"
                    )
        holders.setdefault(memory[node], []).append(node)


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
        # A function may draw in evaluation, too: attention with a fixed rate of dropout.
        with torch.no_grad(), torch.random.fork_rng(devices=[like.device] if like.device.type == "cuda" else []):
            found.run(torch.zeros(sample.shape, dtype=like.dtype, device=like.device))
    except Exception as error:
        raise GraphError(
            f"{found.node.target}: inputs of shape {tuple(sample.shape)} do not fit the model: {error}"
        ) from error
    return found.shapes


def _examples_first(program: fx.GraphModule, sample: Tensor, shapes: dict[str, torch.Size]) -> Iterator[str]:
    """The nodes whose first dimension is the batch: it grows with the number of examples.

    Where dimensions only ever stay in their order, it is compared with that number, without a second pass.
    """
    if not any(moves_dimensions(node, program) for node in program.graph.nodes):
        return (name for name, shape in shapes.items() if shape[:1] == sample.shape[:1])
    more = _shapes(program, sample.new_empty(len(sample) + 1, *sample.shape[1:]))
    return (n for n, shape in shapes.items() if shape[:1] == sample.shape[:1] and more[n][0] == shape[0] + 1)


def _refuse_parts_of_a_batch(
    program: fx.GraphModule, examples_first: Collection[str], shapes: dict[str, torch.Size]
) -> None:
    for node in program.graph.nodes:
        if SEVERAL.has(node, program) and (read := node.all_input_nodes[0].name) in examples_first:
            place = 1 if UNBIND.has(node, program) else 2
            dim: Any = node.args[place] if len(node.args) > place else node.kwargs.get("dim", 0)
            if dim in (0, -len(shapes[read])):
                raise GraphError(f"{node.name}: takes a batch apart; a rule needs all examples together")
    for node in program.graph.find_nodes(op="call_function", target=operator.getitem):
        index = node.args[1][0] if isinstance(node.args[1], tuple) else node.args[1]
        if node.args[0].name in examples_first and isinstance(index, int | slice) and index != slice(None):
            raise GraphError(f"{node.name}: takes some examples of a batch; a rule needs them all")


def _classes(program: fx.GraphModule, shapes: dict[str, torch.Size], examples_first: Collection[str]) -> int:
    """The columns of the logits. Raises GraphError where the output is anything else."""
    logits = program.graph.output_node().args[0]
    if not isinstance(logits, fx.Node) or logits.name not in shapes:
        raise GraphError("the model returns several values; a rule needs one tensor of logits (N, classes)")
    shape = shapes[logits.name]
    if len(shape) != 2 or logits.name not in examples_first:
        raise GraphError(
            f"{place_of(logits)}: the model returns a tensor of {tuple(shape)}; a rule needs logits (N, classes)"
        )
    return int(shape[1])


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
        if any(parent in reached for parent in node.all_input_nodes) and not is_size(node):
            carrying.add(node)
        if (node in carrying and node.target != "detach") or has_parameters(node, program):
            reached.add(node)
    return carrying


def activations_of(program: fx.GraphModule) -> list[fx.Node]:
    """The activations of what the input reaches: that of a parameter alone is no layer's."""
    apart = made_of_attributes(program)
    return [node for node in program.graph.nodes if ACTIVATION.has(node, program) and node not in apart]


def made_of_attributes(program: fx.GraphModule) -> set[fx.Node]:
    """The parameters and buffers that the model has outside layers, and what is computed from nothing else.

    The size of an input may take part, as in `token.expand(x.shape[0], -1, -1)`; a layer's parameters may not.
    """
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        read = [parent for parent in node.all_input_nodes if not is_size(parent)]
        is_made = bool(read) and found.issuperset(read) and node.op != "output" and not has_parameters(node, program)
        if node.op == "get_attr" or is_made:
            found.add(node)
    return found


def has_parameters(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether a node is a parameter, or a module that has some."""
    if node.op == "get_attr":
        return isinstance(attribute(node, program), nn.Parameter)
    return node.op == "call_module" and next(program.get_submodule(str(node.target)).parameters(), None) is not None


def _weight_layers(program: fx.GraphModule) -> Iterator[WeightLayer]:
    carrying = carrying_error(program)
    for node in program.graph.nodes:
        module = program.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield WeightLayer(str(node.target), node, module, node.all_input_nodes[0], node in carrying)


def _main_path(program: fx.GraphModule, layers: tuple[WeightLayer, ...]) -> tuple[fx.Node, ...] | GraphError:
    """The path from input to output with the most convolutions, or why there is none: two with equally many.

    Of paths through the same convolutions it is the one with the most fully connected layers.
    """
    layer_at = {layer.node: layer for layer in layers}
    passed: dict[fx.Node, tuple[int, int]] = {}  # how many convolutions and fully connected layers
    last: dict[fx.Node, fx.Node | None] = {}  # the last of these convolutions: that of two paths tells them apart
    chosen: dict[fx.Node, fx.Node | None] = {}
    ties: dict[fx.Node, list[fx.Node]] = {}
    for node in program.graph.nodes:
        parents = [parent for parent in node.all_input_nodes if parent in passed]
        if not parents and node.op != "placeholder":
            continue
        most = max((passed[parent] for parent in parents), default=(0, 0))
        leading = [parent for parent in parents if passed[parent][0] == most[0]]
        layer = layer_at.get(node)
        is_convolution = layer is not None and layer.is_convolution
        chosen[node] = next((parent for parent in leading if passed[parent] == most), None)
        if len({last[parent] for parent in leading}) > 1:
            ties[node] = leading
        if not is_size(node):
            passed[node] = (most[0] + is_convolution, most[1] + (layer is not None and not is_convolution))
            before = chosen[node]
            last[node] = node if is_convolution or before is None else last[before]
    path: list[fx.Node] = []
    node = program.graph.output_node()
    while node is not None:
        if node in ties:
            names = " and ".join(str(parent.target) for parent in ties[node])
            return GraphError(
                f"{node.name}: a tie between paths, {names} lie behind equally many convolutions; activation sharing "
                "and local losses need one main path, other rules such as fa and kp do not"
            )
        path.append(node)
        node = chosen[node]
    return tuple(path[::-1])
