"""Activation checkpointing: a program in segments, of which backward keeps only the inputs (Chen et al. 2016).

A segment's forward pass runs without a graph. Backward runs it again from its input, with the same random numbers and
the same autocast, and then differentiates it: the bits are those of the whole program. The second pass leaves
BatchNorm's running statistics as they are, which the first has updated. The last segment keeps its graph: backward
begins there.

`torch.utils.checkpoint` does the same for compiled code. Other code would import torch's compiler by it, 170 MB of the
process whose memory is to be compared (decision 0019), and it updates running statistics twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.utils.checkpoint import checkpoint

from asapbench.rules.engine.ops import ACTIVATION, POOL, is_one_operation, may_share_memory
from asapbench.rules.engine.program import changes


def in_segments(program: fx.GraphModule, shapes: Mapping[str, torch.Size]) -> fx.GraphModule:
    """`program` with all segments but the last recomputed in backward; `shapes` has those of its nodes' tensors.

    A segment ends where one tensor alone is alive. Chen et al. 2016, Alg. 3: from one end to the next that is more than
    a budget away, for the budget that needs the least memory: the inputs of all segments and the largest one inside.
    """
    parts = _parts(program, _ends(program, shapes), shapes)
    whole = fx.Graph()
    (given,) = program.graph.find_nodes(op="placeholder")
    value = whole.placeholder(str(given.target))
    root = nn.Module()
    for number, (part, following) in enumerate(zip(parts, [*parts[1:], []], strict=True)):
        segment = _segment(program, part, given)
        root.add_module(f"segment_{number}", Recomputed(segment) if following else segment)
        value = whole.call_module(f"segment_{number}", (value,))
        given = part[-1]
    whole.output(value)
    return fx.GraphModule(root, whole, type(program).__name__)


def _ends(program: fx.GraphModule, shapes: Mapping[str, torch.Size]) -> list[fx.Node]:
    """Where one tensor alone is alive, which nothing behind it changes in place."""
    nodes = list(program.graph.nodes)
    place = {node: number for number, node in enumerate(nodes)}
    found: list[fx.Node] = []
    last = -1  # the place of the last use of any tensor so far, without that of `node`
    for node in nodes:
        if node.op in ("placeholder", "call_module", "call_function", "call_method"):
            is_alone = last <= place[node] and node.name in shapes and node.op != "placeholder"
            if is_alone and not any(changes(user, node, program) for user in node.users):
                found.append(node)
            last = max([last, *(place[user] for user in node.users)])
    return [node for node in found if node.users and nodes[-1] not in node.users]


class _Memory(NamedTuple):
    """Numbers that autograd keeps of a node's output, about, and the numbers of the output itself."""

    kept: int
    output: int


def _parts(program: fx.GraphModule, ends: Sequence[fx.Node], shapes: Mapping[str, torch.Size]) -> list[list[fx.Node]]:
    """The nodes of each segment, in order, for the best of all budgets."""
    pieces: list[list[fx.Node]] = [[]]
    for node in program.graph.nodes:
        if node.op not in ("placeholder", "get_attr", "output"):
            pieces[-1].append(node)
        if node in ends:
            pieces.append([])
    sizes = [
        _Memory(
            sum(shapes[node.name].numel() for node in piece if node.name in shapes and _is_kept(node, program)),
            shapes[piece[-1].name].numel(),
        )
        for piece in pieces
    ]
    budgets = {sum(size.kept for size in sizes[i:j]) for i in range(len(sizes)) for j in range(i, len(sizes) + 1)}
    best = min((_planned(sizes, budget) for budget in sorted(budgets)), key=lambda plan: _needed(plan, sizes))
    return [[node for piece in pieces[first:end] for node in piece] for first, end in best]


def _is_kept(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether autograd keeps a node's output: what weight layers return, BatchNorm's input; of activations and pools.

    Not the output of BatchNorm in front of an activation, nor that of an addition.
    """
    if ACTIVATION.has(node, program) or POOL.has(node, program):
        return True
    is_layer = node.op == "call_module" and not isinstance(
        program.get_submodule(str(node.target)), nn.modules.batchnorm._NormBase
    )
    return is_layer and not may_share_memory(node, program)


_Plan = list[tuple[int, int]]
"""The first piece of each segment and the one behind its last."""


def _planned(sizes: Sequence[_Memory], budget: int) -> _Plan:
    """Alg. 3: a segment ends with the piece by which it exceeds the budget."""
    plan, first, held = [], 0, 0
    for number, size in enumerate(sizes):
        held += size.kept
        if held > budget and number + 1 < len(sizes):
            plan.append((first, number + 1))
            first, held = number + 1, 0
    return [*plan, (first, len(sizes))]


def _needed(plan: _Plan, sizes: Sequence[_Memory]) -> int:
    """Numbers in memory at the peak, about: the inputs of the segments, and the largest segment in backward."""
    inputs = sum(sizes[first - 1].output for first, _ in plan[1:])
    return inputs + max(sum(size.kept for size in sizes[first:end]) for first, end in plan)


def _segment(program: fx.GraphModule, part: Sequence[fx.Node], given: fx.Node) -> fx.GraphModule:
    """The nodes of `part` as a program from the tensor of `given` to that of the last node."""
    graph = fx.Graph()
    copies = {given: graph.placeholder(given.name)}

    def copied(node: fx.Node) -> fx.Node:
        if node not in copies and node.op == "get_attr":
            copies[node] = graph.node_copy(node)
        return copies[node]

    for node in part:
        copies[node] = graph.node_copy(node, copied)
    graph.output(copies[part[-1]])
    return fx.GraphModule(program, graph, type(program).__name__)


class Recomputed(nn.Module):
    """A part of a program, (N, ...) -> (N, ...), whose inside is computed again in backward."""

    def __init__(self, segment: fx.GraphModule) -> None:
        super().__init__()
        self.segment = segment
        self.draws = any(_draws(node, segment) for node in segment.graph.nodes)
        """Whether it may draw random numbers. A CUDA graph cannot be captured where their state is read."""

    def forward(self, x: Tensor) -> Tensor:
        """As `segment`."""
        out: Tensor
        if not torch.is_grad_enabled():
            out = self.segment(x)
        elif torch.compiler.is_compiling():  # whose running statistics are updated once
            out = checkpoint(self.segment, x, use_reentrant=False)
        else:
            trained = [parameter for parameter in self.segment.parameters() if parameter.requires_grad]
            out = _Recompute.apply(self, x, *trained)
        return out


class _Recompute(torch.autograd.Function):
    """`apply(module, x, *parameters)`: the segment of `module` on x, with the gradients of all of them."""

    @staticmethod
    def forward(ctx: Any, module: Recomputed, x: Tensor, *parameters: Tensor) -> Tensor:
        """Keeps x alone."""
        ctx.module, ctx.autocast = module, _autocast(x.device.type)
        ctx.streams = _streams(x.device) if module.draws else None
        ctx.save_for_backward(x, *parameters)
        out: Tensor = module.segment(x)
        return out

    @staticmethod
    @torch.enable_grad()
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        """The gradients of x and the parameters."""
        given, *parameters = ctx.saved_tensors
        x = given.detach().requires_grad_(ctx.needs_input_grad[1])
        if x.requires_grad:
            x = x.view_as(x)  # torch's hooks on modules refuse a leaf inside `autograd.grad`
        with ctx.autocast(), _with_streams(x.device, ctx.streams), _still_statistics(ctx.module):
            scalar = _Entering.apply(ctx.module.segment(x), *grad_outputs)
        wanted = [x, *parameters] if x.requires_grad else parameters
        found = torch.autograd.grad(scalar, wanted, allow_unused=True)
        return (None, *(() if x.requires_grad else (None,)), *found)


class _Entering(torch.autograd.Function):
    """A scalar whose gradient at `out` is `delta`. To be given `delta`, `torch.autograd.grad` would import SymPy."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, delta: Tensor) -> Tensor:
        """Zero."""
        ctx.delta = delta
        return out.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_grad_outputs: Any) -> tuple[Tensor, None]:
        """`delta` as it is."""
        return ctx.delta, None


def _autocast(kind: str) -> Any:
    """A function that makes the autocast context that is active now."""
    if kind == "meta":  # which only counts
        return contextlib.nullcontext
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    cached = torch.is_autocast_cache_enabled()
    return lambda: torch.autocast(kind, enabled=enabled, dtype=dtype, cache_enabled=cached)


@contextlib.contextmanager
def _still_statistics(module: nn.Module) -> Iterator[None]:
    """BatchNorm takes the statistics of its batch and leaves the running ones as they are."""
    norms = [one for one in module.modules() if isinstance(one, nn.modules.batchnorm._NormBase)]
    before = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False  # in evaluation the running statistics are used all the same
    try:
        yield
    finally:
        for norm, tracked in zip(norms, before, strict=True):
            norm.track_running_stats = tracked


def _draws(node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether an operation has dropout, or is a module that nobody looks into and that does not say that it draws none.

    Without their states the second pass would draw others, and the gradients would be wrong without a sign of it.
    """
    module = program.get_submodule(str(node.target)) if node.op == "call_module" else None
    if module is not None and is_one_operation(module) and not getattr(module, "is_deterministic", False):
        return True
    attention = getattr(module, "whole", None)
    return bool(getattr(module, "p", 0) or getattr(attention, "dropout", 0) or node.kwargs.get("dropout_p", 0)) or (
        node.target is torch.nn.functional.scaled_dot_product_attention and len(node.args) > 4
    )


def _streams(device: torch.device) -> list[Tensor]:
    """The states of the random streams that an operation on `device` may draw from."""
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


@contextlib.contextmanager
def _with_streams(device: torch.device, states: Sequence[Tensor] | None) -> Iterator[None]:
    """The random streams at these states, and afterwards as they were."""
    if states is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(states[0])
        for state in states[1:]:
            torch.cuda.set_rng_state(state, device)
        yield
