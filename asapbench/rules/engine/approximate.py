"""Approximate activations beside a program, the source of weight gradients (`rules.forward_alignment`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.errors import GraphError
from asapbench.randomness import fan_in_uniform
from asapbench.rules.engine.graph import Dataflow, WeightLayer, WeightModule
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner
from asapbench.rules.engine.ops import ACTIVATION
from asapbench.rules.engine.program import add_module, compiled

Activation = Callable[[Tensor], Tensor]


def approximated(
    model: nn.Module, flow: Dataflow, seed: int, *, how: str, of_activation: bool
) -> ForwardAlignmentLearner:
    """The model with the approximate path beside it. Raises GraphError, naming what is not a plain chain.

    `how` is the rule's option `approximate`; `of_activation`: each C is applied to the real activation before it, not
    to its approximation.
    """
    if convolution := next((layer.name for layer in flow.layers if layer.is_convolution), None):
        raise GraphError(
            f"{convolution}: a convolution; forward_alignment is for fully connected networks; use fa or kp"
        )
    if tokens := next((layer for layer in flow.layers if len(flow.shape(layer.input)) != 2), None):
        shape = tuple(flow.shape(tokens.input))
        raise GraphError(
            f"{tokens.name}: reads a tensor of {shape}; forward_alignment is for features (N, F); use fa or kp"
        )
    program = flow.program
    approximations: dict[str, ApproximateActivation] = {}
    layers: dict[str, FeedbackLayer] = {}
    source = flow.layers[0].input
    for layer, behind in zip(flow.layers, flow.layers[1:], strict=False):
        batchnorm, activation = _between(flow, layer, behind)
        approximation = ApproximateActivation(layer.module, batchnorm, activation, how)
        fan_in_uniform(approximation.weight, seed=seed, purpose="feedback", name=layer.name)
        approximations[layer.name] = approximation
        with program.graph.inserting_before(behind.node):
            arguments = (source, layer.node) if approximation.borrows else (source,)
            target = add_module(approximation, program, kind="approximate", layer=layer.name)
            source = program.graph.call_module(target, arguments)
        layers[behind.name] = FeedbackLayer(behind.module, "transport")
        behind.node.target = add_module(layers[behind.name], program, kind="feedback", layer=behind.name)
        behind.node.args = (behind.input, source)
        if of_activation:
            source = behind.input
    return ForwardAlignmentLearner(model, compiled(program), layers, approximations)


class ForwardAlignmentLearner(Learner):
    """The learner whose forward weights align with the fixed C of their own layers."""

    def __init__(
        self,
        model: nn.Module,
        program: fx.GraphModule,
        layers: dict[str, FeedbackLayer],
        approximations: dict[str, ApproximateActivation],
    ) -> None:
        super().__init__(model, program, layers)
        self.approximations = approximations

    def aligned_pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, W, C) of every layer but the last."""
        for name, approximation in self.approximations.items():
            yield name, approximation.layer.weight, approximation.weight

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """Each layer's C."""
        for name, approximation in self.approximations.items():
            yield name, approximation.weight


class ApproximateActivation(nn.Module):
    """h~ = phi~(C h) (N, O) for h (N, I), where `layer`, then `batchnorm` and `activation` if there are, give the real.

    `how` is the rule's option `approximate`. `borrows`: statistics are those of the layer's real output, which is then
    the second argument. C, `weight`, is drawn by its maker.
    """

    def __init__(
        self, layer: WeightModule, batchnorm: nn.BatchNorm1d | None, activation: Activation | None, how: str
    ) -> None:
        super().__init__()
        self.layer = layer
        self.batchnorm = None if how == "none" else batchnorm
        self.activation = None if how in ("none", "linear") else activation
        self.scaled = how in ("affine", "own")
        self.borrows = how == "own" and batchnorm is not None
        self.weight: Tensor
        self.register_buffer("weight", torch.empty_like(layer.weight, requires_grad=False), persistent=False)

    @torch.no_grad()
    def forward(self, h: Tensor, real: Tensor | None = None) -> Tensor:
        """The approximate activation."""
        # Batch statistics of C h cancel a bias; those of the real W h + b cancel it only where C h has it, too.
        approximate = F.linear(h, self.weight, None if real is None else self.layer.bias)
        if self.batchnorm is not None:
            approximate = self._normalised(approximate, self.batchnorm, real)
        return approximate if self.activation is None else self.activation(approximate)

    def _normalised(self, approximate: Tensor, batchnorm: nn.BatchNorm1d, real: Tensor | None) -> Tensor:
        scale, shift = (batchnorm.weight, batchnorm.bias) if self.scaled else (None, None)
        if real is None:
            return F.batch_norm(approximate, None, None, scale, shift, training=True, eps=batchnorm.eps)
        mean, variance = batchnorm.running_mean, batchnorm.running_var
        if batchnorm.training or mean is None:
            variance, mean = torch.var_mean(real.to(self.weight.dtype), 0, correction=0)
        return F.batch_norm(approximate, mean, variance, scale, shift, eps=batchnorm.eps)


def _between(
    flow: Dataflow, layer: WeightLayer, behind: WeightLayer
) -> tuple[nn.BatchNorm1d | None, Activation | None]:
    """The BatchNorm and the activation, in this order, between two layers. Raises GraphError for anything else."""
    batchnorm: nn.BatchNorm1d | None = None
    activation: Activation | None = None
    node = behind.input
    while node is not layer.node:
        module = flow.program.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, nn.BatchNorm1d) and batchnorm is None:
            batchnorm = module
        elif ACTIVATION.has(node, flow.program) and batchnorm is None and activation is None:
            activation = module if module is not None else _called(node)
        elif not isinstance(module, nn.Identity):
            raise GraphError(
                f"{node.name}: stands between {layer.name} and {behind.name}, where forward_alignment takes nothing "
                "but one BatchNorm and one activation behind it"
            )
        node = node.all_input_nodes[0]
    return batchnorm, activation


def _called(node: fx.Node) -> Activation:
    """The function or method that an activation's node calls, of the tensor alone."""

    def activation(x: Tensor) -> Tensor:
        function = getattr(torch.Tensor, str(node.target)) if node.op == "call_method" else node.target
        activated: Tensor = function(x, *node.args[1:], **node.kwargs)  # type: ignore[operator]
        return activated

    return activation
