"""nn.MultiheadAttention written out: its projections become fully connected layers that a rule can reach.

The module keeps the weights of queries, keys and values as one parameter used inside, where no rule could put a
feedback weight. In the program it is replaced by `in_proj` (E -> 3 E), the product of attention without weights, and
`out_proj`. The layers have the module's own parameters, and the model itself stays as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.errors import GraphError


class SelfAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V for each head, of `qkv` (N, T, 3 E): (N, T, E); heads, dropout and mode of `whole`."""

    def __init__(self, whole: nn.MultiheadAttention) -> None:
        super().__init__()
        self.__dict__["whole"] = whole  # no submodule: its parameters are those of the layers beside

    def train(self, mode: bool = True) -> SelfAttention:
        """As every module; `whole`, which is none below this one, follows, so that a copy has a mode of its own."""
        self.__dict__["whole"].train(mode)
        return super().train(mode)

    def forward(self, qkv: Tensor) -> Tensor:
        """The heads' outputs, side by side."""
        whole: nn.MultiheadAttention = self.__dict__["whole"]
        heads = qkv.reshape(*qkv.shape[:2], 3, whole.num_heads, -1).permute(2, 0, 3, 1, 4)
        dropout = whole.dropout if whole.training else 0.0
        out: Tensor = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], dropout_p=dropout)
        return out.transpose(1, 2).flatten(2)


def write_out_attention(program: fx.GraphModule) -> None:
    """Replaces each nn.MultiheadAttention that is called as self-attention. Raises GraphError for another use."""
    written: set[nn.Module] = set()
    modules = dict(program.named_modules())
    for node in program.graph.find_nodes(op="call_module"):
        module = modules[str(node.target)]
        if isinstance(module, nn.MultiheadAttention) and type(module) is nn.MultiheadAttention:
            if module in written:
                raise GraphError(f"{node.target}: called twice; a rule needs one error signal for each weight")
            written.add(module)
            _refuse_other_uses(node, module)
            _write_out(node, module, program)


def weights_of_layers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The name and weight of each convolution and fully connected layer, in the order of the model's modules.

    A written-out attention's are `in_proj` and `out_proj`, as rules name them.
    """
    for name, module in model.named_modules():
        if type(module) is nn.MultiheadAttention and module.in_proj_weight is not None:
            yield f"{name}.in_proj", module.in_proj_weight
        elif isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module.weight


def _write_out(node: fx.Node, module: nn.MultiheadAttention, program: fx.GraphModule) -> None:
    name = str(node.target)
    program.delete_submodule(name)  # from the program's own tree, not from the model
    (value,) = node.all_input_nodes
    with program.graph.inserting_before(node):
        for part, made in {
            "in_proj": _linear(module.in_proj_weight, module.in_proj_bias),
            "attention": SelfAttention(module),
            "out_proj": _linear(module.out_proj.weight, module.out_proj.bias),
        }.items():
            program.add_submodule(f"{name}.{part}", made)
            value = program.graph.call_module(f"{name}.{part}", (value,))
    for taken in list(node.users):
        taken.replace_all_uses_with(value)
        program.graph.erase_node(taken)
    program.graph.erase_node(node)


def _refuse_other_uses(node: fx.Node, module: nn.MultiheadAttention) -> None:
    """What the replacement does not compute."""
    inputs = [*node.args, *(node.kwargs[key] for key in ("query", "key", "value") if key in node.kwargs)]
    options = {key: value for key, value in node.kwargs.items() if key not in ("need_weights", "average_attn_weights")}
    reason = None
    if len(inputs) != 3 or len(set(inputs)) != 1 or len(node.args) != 3:
        reason = "called with other than one tensor as query, key and value"
    elif any(value is not None and value is not False for value in options.values()):
        reason = f"called with {', '.join(options)}"
    elif not module.batch_first:
        reason = "made without batch_first=True"
    elif module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn:
        reason = "made with kdim, vdim, add_bias_kv or add_zero_attn"
    elif any(user.target is not operator.getitem or (user.args[1] != 0 and user.users) for user in node.users):
        reason = "its attention weights are used"
    if reason is not None:
        raise GraphError(
            f"{node.target}: an nn.MultiheadAttention {reason}, whose projections no rule reaches; write the attention "
            "with nn.Linear layers and softmax"
        )


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A fully connected layer of the very parameters."""
    with torch.random.fork_rng(devices=[]):  # what the constructor draws leaves the global random stream as it was
        layer = nn.Linear(1, 1)
    layer.out_features, layer.in_features = weight.shape
    layer.register_parameter("weight", cast("nn.Parameter", weight))
    layer.register_parameter("bias", cast("nn.Parameter | None", bias))
    return layer
