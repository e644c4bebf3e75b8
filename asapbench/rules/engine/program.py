"""Changes to a captured program that several rules make: adding modules, cutting the error off, returning tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import fx, nn

from asapbench.rules.engine.attention import write_out_attention
from asapbench.rules.engine.functions import is_narrow_strided_pointwise
from asapbench.rules.engine.layers import FeedbackLayer, geometry
from asapbench.rules.engine.ops import is_in_place, may_share_memory
from asapbench.rules.engine.tracing import traced


def cut(node: fx.Node, users: Iterable[fx.Node], program: fx.GraphModule) -> None:
    """Makes `users` read `node` detached, so that no error returns from them.

    Users of whom one changes `node` in place, or a view of it, get a copy: `node` itself may be read again.
    """
    readers = list(users)
    if not readers:
        return
    with program.graph.inserting_after(node):
        detached = program.graph.call_method("detach", (node,))
    if any(changes(user, node, program) for user in readers):
        with program.graph.inserting_after(detached):
            detached = program.graph.call_method("clone", (detached,))
    for user in readers:
        user.replace_input_with(node, detached)


def changes(user: fx.Node, node: fx.Node, program: fx.GraphModule) -> bool:
    """Whether `user` changes its input `node` in place, or returns a view of it that another operation changes."""
    if user.all_input_nodes[0] is not node:  # given by position or by name
        return False
    if is_in_place(user, program):
        return True
    return may_share_memory(user, program) and any(changes(later, user, program) for later in user.users)


def add_module(module: nn.Module, program: fx.GraphModule, *, kind: str, layer: str) -> str:
    """Adds `module`, made for the layer called `layer`, to `program`; returns its name there."""
    target = f"{kind}_{layer.replace('.', '_')}"
    program.add_submodule(target, module)
    return target


def add_outputs(nodes: Sequence[fx.Node], program: fx.GraphModule) -> None:
    """Makes `program` return (logits, the tensors of `nodes`) instead of logits."""
    output = output_of(program)
    output.args = ((output.args[0], tuple(nodes)),)


def output_of(program: fx.GraphModule) -> fx.Node:
    """The node that ends `program`; its first argument is the logits."""
    output: fx.Node = next(node for node in reversed(program.graph.nodes) if node.op == "output")
    return output


def plain(model: nn.Module) -> fx.GraphModule:
    """The computation of `model` itself, with its own modules, ready for backward in any order in memory.

    Attention is written out as in the programs of rules, so that both have the same layers.
    """
    program = traced(model)
    write_out_attention(program)
    return compiled(program)


def compiled(program: fx.GraphModule) -> fx.GraphModule:
    """`program` after changes to its graph, checked and ready to run."""
    _replace_narrow_strided_pointwise(program)
    program.graph.lint()
    program.recompile()
    return program


def _replace_narrow_strided_pointwise(program: fx.GraphModule) -> None:
    """Gives the plain convolutions that oneDNN's fault concerns the backward that avoids it (`functions`)."""
    for node in program.graph.find_nodes(op="call_module"):
        module = program.get_submodule(str(node.target))
        if type(module) is nn.Conv2d and is_narrow_strided_pointwise(module.weight.shape, geometry(module)):
            node.target = add_module(
                FeedbackLayer(module, "transport"), program, kind="strided", layer=str(node.target)
            )
