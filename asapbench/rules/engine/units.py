"""Units of local learning: stretches of a network that no error enters or leaves.

A unit is given by its end, a node of the main path. A node belongs to the first unit whose end it reaches, or, if it
reaches none, to the output's part. Whatever a later part reads of an earlier one it reads detached, not the ends alone:
a shortcut into the next unit is cut too, and a shortcut's convolution belongs to the unit whose addition it enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from torch import fx, nn

from asapbench.errors import GraphError
from asapbench.rules.engine.graph import Dataflow, WeightLayer, carrying_error, made_of_attributes
from asapbench.rules.engine.ops import (
    ACTIVATION,
    ADDITION,
    MAX_POOL,
    is_one_operation,
    is_size,
    moves_dimensions,
    place_of,
)
from asapbench.rules.engine.program import cut


@dataclass(frozen=True)
class Unit:
    """A stretch that ends at the node `end`; `name` is that of its last layer on the main path."""

    name: str
    end: fx.Node
    layers: tuple[str, ...]


def units_of(kind: str, model: nn.Module, flow: Dataflow) -> list[Unit]:
    """The units in forward order; `kind` conv: each convolution, block: each block; and each hidden linear layer.

    The last layer is the output's, and in no unit. Raises GraphError.
    """
    single = kind == "conv"
    blocks = _block_ends(model, flow) if flow.main and not single else []
    layers = [end_before(later, flow) for layer, later in pairwise(flow.chain) if single or not layer.is_convolution]
    return named_units([*blocks, *layers], flow)


def named_units(ends: Sequence[fx.Node], flow: Dataflow) -> list[Unit]:
    """The units that end at `ends`, given in forward order. Raises GraphError where one has no layer."""
    part = _parts(ends, flow)
    units = []
    rearranged = _rearranged(flow)
    for number, end in enumerate(ends):
        shape = flow.shape(end)
        if end.name not in flow.examples_first or not (len(shape) == 2 or (len(shape) == 4 and end not in rearranged)):
            raise GraphError(
                f"{place_of(end)}: a unit of local learning ends here, at a tensor of {tuple(shape)}, where local "
                "losses are defined for maps (N, C, H, W) and features (N, F) alone; use a rule without local losses, "
                "such as fa or kp"
            )
        layers = tuple(layer.name for layer in flow.layers if part[layer.node] == number)
        on_path = [layer.name for layer in flow.chain if layer.name in layers]
        if not on_path:
            raise GraphError(f"{end.name}: a unit of local learning ends here, and no layer of the main path is in it")
        units.append(Unit(on_path[-1], end, layers))
    return units


def _rearranged(flow: Dataflow) -> set[fx.Node]:
    """The nodes behind a permutation of dimensions: four of them need not be those of maps."""
    found: set[fx.Node] = set()
    for node in flow.program.graph.nodes:
        parents = (parent for parent in node.all_input_nodes if not is_size(parent))
        if moves_dimensions(node, flow.program) or not found.isdisjoint(parents):
            found.add(node)
    return found


def separate(units: Sequence[Unit], flow: Dataflow) -> Dataflow:
    """`flow`, its program cut between units, with the layers that an error still travels through."""
    part = _parts([unit.end for unit in units], flow)
    _give_each_part_its_tuples(part, flow)
    uncut = made_of_attributes(flow.program)  # a parameter outside layers learns from every part that reads it
    for node in list(flow.program.graph.nodes):
        if node.name in flow.shapes and node.op != "placeholder" and node not in uncut:
            cut(node, [user for user in node.users if part[user] > part[node]], flow.program)
    carrying = carrying_error(flow.program)
    return replace(flow, layers=tuple(replace(layer, carries_error=layer.node in carrying) for layer in flow.layers))


def _give_each_part_its_tuples(part: dict[fx.Node, int], flow: Dataflow) -> None:
    """Copies each node whose result is several tensors for every later part that reads it: a tuple cannot be cut."""
    for node in reversed(list(flow.program.graph.nodes)):  # a tuple's slices before the tuple
        if node.op in ("placeholder", "output") or node.name in flow.shapes or is_size(node):
            continue
        for number in sorted({part[user] for user in node.users if part[user] > part[node]}):
            with flow.program.graph.inserting_after(node):
                own = flow.program.graph.node_copy(node)
            part[own] = number
            for user in [user for user in node.users if part[user] == number]:
                user.replace_input_with(node, own)


def stretches(units: Sequence[Unit], flow: Dataflow) -> list[tuple[fx.Node, ...]]:
    """The nodes of each unit, in forward order."""
    part = _parts([unit.end for unit in units], flow)
    nodes = [node for node in flow.program.graph.nodes if node.op != "placeholder"]
    return [tuple(node for node in nodes if part[node] == number) for number in range(len(units))]


def end_before(layer: WeightLayer, flow: Dataflow) -> fx.Node:
    """Where a unit ends that `layer` comes after: its input, or what is averaged, flattened or normalised to that."""
    kept = {each.node for each in flow.layers}
    node = layer.input
    while node not in kept and not MAX_POOL.has(node, flow.program):
        before = [_tensor_of(parent, flow) for parent in node.all_input_nodes if not is_size(parent)]
        if len(before) != 1 or flow.shape(before[0]) == flow.shape(node):
            break
        node = before[0]
    while node.op == "call_module" and is_one_operation(flow.program.get_submodule(str(node.target))):
        (node,) = node.all_input_nodes  # what is passed on is normalised, not what the unit's loss sees
    return node


def _tensor_of(node: fx.Node, flow: Dataflow) -> fx.Node:
    """`node`; of several tensors, the one whose parts they are."""
    while node.name not in flow.shapes:
        node = node.all_input_nodes[0]
    return node


def _parts(ends: Sequence[fx.Node], flow: Dataflow) -> dict[fx.Node, int]:
    """The number of the first unit whose end each node reaches; the number of units if it reaches none."""
    numbers = {end: number for number, end in enumerate(ends)}
    part: dict[fx.Node, int] = {}
    for node in reversed(flow.program.graph.nodes):
        reached = min((part[user] for user in node.users), default=len(ends))
        part[node] = numbers.get(node, reached)
    return part


def _block_ends(model: nn.Module, flow: Dataflow) -> list[fx.Node]:
    """Where the model's blocks end: as it says in `unit_ends`, or else its residual blocks and what is before them."""
    if (named := getattr(model, "unit_ends", None)) is not None:
        return sorted((_end_of_module(name, flow) for name in named), key=flow.path.index)
    additions = [node for node in flow.path if _joins_paths(node, flow)]
    if not additions:
        raise GraphError(
            f"{type(model).__name__}: there are no residual blocks to be units; use a smaller unit, by the "
            "option `unit`, or name the submodules that end a unit in an attribute `unit_ends`"
        )
    fork = min((_back_to_path(node, flow) for node in additions[0].all_input_nodes), key=flow.path.index)
    has_stem = any(layer.node in flow.path[: flow.path.index(fork) + 1] for layer in flow.chain)
    return list(dict.fromkeys([*([fork] if has_stem else []), *(_end_of_block(node, flow) for node in additions)]))


def _joins_paths(node: fx.Node, flow: Dataflow) -> bool:
    """Whether a node adds two tensors that the input reaches, and not a parameter of the model to one."""
    tensors = [parent for parent in node.all_input_nodes if parent.name in flow.examples_first]
    return ADDITION.has(node, flow.program) and len(tensors) == 2


def _end_of_module(name: str, flow: Dataflow) -> fx.Node:
    """The last node of the main path inside the submodule `name`."""
    inside = [node for node in flow.path if node.target == name or name in (node.meta.get("nn_module_stack") or {})]
    tensors = [node for node in inside if node.name in flow.shapes]
    if not tensors:
        raise GraphError(f"{name}: named in `unit_ends`, and it is no submodule on the main path")
    return tensors[-1]


def _end_of_block(addition: fx.Node, flow: Dataflow) -> fx.Node:
    """The activation behind an addition, moved past a max-pool that follows; the addition where there is none."""
    layers = {layer.node for layer in flow.layers}
    behind = takewhile(lambda node: node not in layers, flow.path[flow.path.index(addition) + 1 :])
    activation = next((node for node in behind if ACTIVATION.has(node, flow.program)), None)
    return addition if activation is None else flow.behind_max_pool(activation)


def _back_to_path(node: fx.Node, flow: Dataflow) -> fx.Node:
    while node not in flow.path:
        node = node.all_input_nodes[0]
    return _tensor_of(node, flow)
