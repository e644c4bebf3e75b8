"""Auxiliary networks made of copies of a network's layers, the heads of `rules.auglocal`.

A copy has the operations of the stretch that it is made of, with modules of its own: convolutions and fully connected
layers are drawn for the unit, BatchNorm keeps no running statistics, and what reads the copy's input fits that. Other
parameters, such as a scale outside layers, start as the model's are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.rules.engine.graph import Dataflow, attribute, has_parameters
from asapbench.rules.engine.local import Head, draw_layers, undrawn
from asapbench.rules.engine.ops import ADDITION, is_in_place, place_of
from asapbench.rules.engine.program import compiled
from asapbench.rules.engine.units import Unit, stretches

_BATCHNORM = nn.BatchNorm1d | nn.BatchNorm2d
_BATCH = 2
"""Blank examples by which shapes are found: BatchNorm needs two."""


class CopiedLayers(Head):
    """Cross-entropy of the logits of `copies`, an average over maps, and the classifier."""

    def __init__(self, copies: Iterable[fx.GraphModule], features: int, classes: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copies)
        # As in the published program, where an auxiliary network has one layer.
        self.norm = nn.BatchNorm1d(features, track_running_stats=False) if len(self.copies) == 1 else nn.Identity()
        self.classifier = undrawn(nn.Linear, features, classes)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        """The unit's loss."""
        for layer in self.copies:
            h = layer(h)
        features = h.mean((2, 3)) if h.dim() == 4 else h
        return self.criterion(self.classifier(self.norm(features)), y)


def draw_auxiliary(
    copies: Sequence[fx.GraphModule], shape: torch.Size, classes: int, *, seed: int, name: str
) -> CopiedLayers:
    """The auxiliary network of the unit `name`, whose output has `shape`, with all layers drawn from `seed`."""
    features = int(copies[-1].meta["shape"][1] if copies else shape[1])
    return draw_layers(CopiedLayers(copies, features, classes), seed=seed, name=name)


def copies_of(wanted: Sequence[Unit], *, behind: Unit, layers: Sequence[Unit], flow: Dataflow) -> list[fx.GraphModule]:
    """Copies of the units `wanted`, in a row behind the unit `behind`; `layers` are all units in forward order.

    Raises GraphError where a unit reads more than one tensor, or cannot be made to fit what is before it.
    """
    nodes = dict(zip((unit.name for unit in layers), stretches(layers, flow), strict=True))
    found = []
    blank = torch.zeros((_BATCH, *flow.shape(behind.end)[1:]))
    for unit in wanted:
        copying = _Copying(unit, nodes[unit.name], flow)
        try:
            made, blank = copying.run(blank)
        except (RuntimeError, ValueError) as error:
            raise GraphError(
                f"{unit.name}: its unit cannot be copied behind {behind.name}, whose output has the shape "
                f"{tuple(flow.shape(behind.end)[1:])}: {error}"
            ) from error
        made.meta["shape"] = blank.shape
        found.append(made)
    return found


class _Copying:
    """One copy in the making: `run` follows the unit's operations with blank examples, and makes what fits them."""

    def __init__(self, unit: Unit, nodes: Sequence[fx.Node], flow: Dataflow) -> None:
        self.unit, self.nodes, self.flow = unit, nodes, flow
        self.entry = _entry_of(unit, nodes, flow)
        self.graph, self.modules = fx.Graph(), dict[str, nn.Module | Tensor]()
        self.copied: dict[fx.Node, fx.Node] = {}
        self.values: dict[fx.Node, Any] = {}

    @torch.no_grad()
    def run(self, blank: Tensor) -> tuple[fx.GraphModule, Tensor]:
        """The copy for inputs like `blank`, and its output."""
        start = self.graph.placeholder("h")
        if any(is_in_place(node, self.flow.program) and node.args[0] is self.entry for node in self.nodes):
            start = self.graph.call_method("clone", (start,))
        self.copied[self.entry], self.values[self.entry] = start, blank
        halving = self._halving(blank)
        for node in self.nodes:
            if ADDITION.has(node, self.flow.program):
                self._fit_operands(node)
            self._copy(node, halves=node in halving)
        self.graph.output(self.copied[self.unit.end])
        output = self.values[self.unit.end]
        return compiled(fx.GraphModule(self.modules, self.graph)), output

    def _copy(self, node: fx.Node, *, halves: bool) -> None:
        new = self.copied[node] = self.graph.node_copy(node, lambda read: self.copied[read])
        args: Any
        kwargs: Any
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda read: self.values[read])
        if node.op == "call_module":
            module = fitted(self.flow.program.get_submodule(str(node.target)), args[0], halves=halves)
            self.modules[str(new.target)] = module
            self.values[node] = module(*args, **kwargs)
        elif node.op == "get_attr":
            start = attribute(node, self.flow.program).detach().to(self.values[self.entry], copy=True)
            own = nn.Parameter(start) if has_parameters(node, self.flow.program) else start
            self.values[node] = self.modules.setdefault(str(new.target), own)
        elif node.op == "call_function":
            assert callable(node.target)
            self.values[node] = node.target(*args, **kwargs)
        else:
            self.values[node] = getattr(args[0], str(node.target))(*args[1:], **kwargs)

    def _halving(self, blank: Tensor) -> set[fx.Node]:
        """The convolutions that halve maps which are larger than the unit's input is in the network."""
        inside, outside = self.flow.shape(self.entry)[2:], self.flow.shape(self.unit.end)[2:]
        if blank.dim() != 4 or not math.prod(inside) == math.prod(outside) < blank.shape[2:].numel():
            return set()
        convolutions = [layer for layer in self.flow.layers if layer.is_convolution and layer.node in self.nodes]
        main = [layer for layer in convolutions if layer.node in self.flow.path]
        wide = [layer for layer in main if isinstance(layer.module, nn.Conv2d) and max(layer.module.kernel_size) > 1]
        return {layer.node for layer in (*(wide or main)[:1], *(one for one in convolutions if one not in main))}

    def _fit_operands(self, addition: fx.Node) -> None:
        """Puts a 1x1 convolution of the copy's input in the place of a shortcut that does not fit the main path."""
        operands = [node for node in addition.all_input_nodes if node in self.values]
        main = next((node for node in operands if node in self.flow.path and node is not self.entry), operands[0])
        for other in operands:
            have, wanted, start = (self.values[node] for node in (other, main, self.entry))
            if have.shape == wanted.shape:
                continue
            stride = [math.ceil(s / w) for s, w in zip(start.shape[2:], wanted.shape[2:], strict=True)]
            name = f"shortcut_{addition.name}"
            made = nn.Sequential(
                undrawn(nn.Conv2d, start.shape[1], wanted.shape[1], 1, stride=tuple(stride), bias=False),
                nn.BatchNorm2d(wanted.shape[1], track_running_stats=False),
            )
            self.modules |= {f"{name}.{place}": part for place, part in enumerate(made)}
            node = self.copied[self.entry]
            for place in range(len(made)):
                node = self.graph.call_module(f"{name}.{place}", (node,))
            self.copied[other], self.values[other] = node, made(start)


def fitted(module: nn.Module, read: Tensor, *, halves: bool = False) -> nn.Module:
    """A module like `module` for inputs like `read`, undrawn; a convolution that `halves` has twice the stride."""
    if isinstance(module, nn.Conv2d):
        return undrawn(
            nn.Conv2d,
            int(read.shape[1]),
            module.out_channels,
            module.kernel_size,
            stride=tuple(side * (2 if halves else 1) for side in module.stride),
            padding=module.padding,
            dilation=module.dilation,
            groups=module.groups,
            bias=module.bias is not None,
        )
    if isinstance(module, nn.Linear):
        return undrawn(nn.Linear, int(read.shape[1]), module.out_features, bias=module.bias is not None)
    if isinstance(module, _BATCHNORM):
        kind = type(module)
        return kind(int(read.shape[1]), eps=module.eps, affine=module.affine, track_running_stats=False)
    return copy.deepcopy(module)


def _entry_of(unit: Unit, nodes: Sequence[fx.Node], flow: Dataflow) -> fx.Node:
    """The one tensor that a unit reads of what is before it. Raises GraphError."""
    inside = set(nodes)
    entries = list(dict.fromkeys(read for user in nodes for read in user.all_input_nodes if read not in inside))
    if len(entries) != 1 or entries[0].name not in flow.shapes:
        names = " and ".join(str(node.target) if node.op == "get_attr" else place_of(node) for node in entries)
        raise GraphError(
            f"{unit.name}: its unit reads {names} of the units before it, where a copy can read one tensor; use "
            "unit = block, or name the submodules that end a unit in an attribute `unit_ends`"
        )
    return entries[0]
