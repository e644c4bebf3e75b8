"""What local rules share: a model in units, each with a local loss that trains it alone.

A rule says what its units are and gives each a head: a module that takes the unit's output and the labels and gives
the unit's loss. Heads live beside the model, which is evaluated without them. What a head learns is trained and kept
with the model's parameters; what it draws and keeps fixed is drawn again from the seed.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from asapbench.randomness import draw_layer
from asapbench.rules import host
from asapbench.rules.base import Declares, LayerPlan, Rule
from asapbench.rules.criterion import Criterion, cross_entropy
from asapbench.rules.functions import is_channels_last
from asapbench.rules.graph import Dataflow
from asapbench.rules.layers import FeedbackLayer
from asapbench.rules.learner import Learner, Objective
from asapbench.rules.program import compiled, give_out, put_in
from asapbench.rules.units import Unit, separate, units_of

Layer = TypeVar("Layer", bound=nn.Module)


class Head(nn.Module):
    """The local loss of one unit: `head(h, y)`, h the unit's output (N, C, H, W) or (N, C), y labels (N,).

    Parameters are learned. Buffers are fixed: drawn from the seed, never stored. A classifier uses `criterion`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.criterion: Criterion = cross_entropy


class LocalRule(Rule):
    """Each unit is trained by its own head's loss, the last layer by its own, exact error."""

    @property
    def output_share(self) -> float:
        """The factor of the output's loss."""
        return 1.0

    @property
    def declares(self) -> Declares:
        """Own input, transported weights inside a unit, a loss for each unit."""
        return Declares(update="own", error_path="transport", linear="transport", stem="trained", loss="local")

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        """Inside a unit, layers keep plain autograd."""
        return {}

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """The units that get a head."""
        return units_of(self.choice.text("unit"), model, flow)

    @abstractmethod
    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The head, on the CPU in float32, of a unit called `name` whose output has `shape`, batch first."""

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> LocalLearner:
        """The model cut between units, each with its head. Raises GraphError."""
        units = self.units(model, flow)
        if self.declares.loss == "local":
            flow = separate(units, flow)
        layers = self.feedback_layers(flow, seed)
        like = next(iter(model.parameters()))
        heads = {u.name: self.head(flow.shape(u.end), flow.classes, seed=seed, name=u.name).to(like) for u in units}
        _put_behind(units, heads, flow.program)
        return LocalLearner(model, compiled(flow.program), layers, heads, output_share=self.output_share)


def _put_behind(units: Sequence[Unit], heads: Mapping[str, Head], program: fx.GraphModule) -> None:
    """Makes `program` take (inputs, labels) and give (logits, the units' losses).

    Each head runs behind its unit, and so, as autograd goes backwards, just before it: of the errors that heads send
    back there is one at a time.
    """
    (inputs,) = program.graph.find_nodes(op="placeholder")
    with program.graph.inserting_after(inputs):
        labels = program.graph.placeholder("labels")
    losses = []
    for unit in units:
        target = put_in(heads[unit.name], program, kind="head", layer=unit.name)
        with program.graph.inserting_after(unit.end):
            losses.append(program.graph.call_module(target, (unit.end, labels)))
    give_out(losses, program)


class LocalLearner(Learner):
    """`output_share` of the logits' cross-entropy plus the local loss of each unit."""

    def __init__(
        self,
        model: nn.Module,
        program: fx.GraphModule,
        layers: dict[str, FeedbackLayer],
        heads: Mapping[str, Head],
        *,
        output_share: float,
    ) -> None:
        super().__init__(model, program, layers)
        self.output_share = output_share
        self.units = tuple(heads)
        self.heads = nn.ModuleList(heads.values())

    def use_criterion(self, criterion: Criterion) -> None:
        """As every learner; heads may have heads inside."""
        super().use_criterion(criterion)
        for module in self.heads.modules():
            if isinstance(module, Head):
                module.criterion = criterion

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K) for inputs (N, C, H, W); without gradients the plain model runs."""
        if not torch.is_grad_enabled():
            return super().forward(x)
        anything = torch.zeros(len(x), dtype=torch.int64, device=x.device)  # the heads' losses are not looked at
        logits: Tensor = self.program(x, anything)[0]
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """The sum of all losses; where units are detached from each other its gradient is each one's alone."""
        logits, losses = self.program(x, y)
        loss = self.criterion(logits, y)
        scalar = self.output_share * loss
        for one in losses:
            scalar = scalar + one
        return Objective(scalar, loss.detach(), logits.detach())

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The model's, the learned feedback weights, then those of the heads."""
        yield from super().trained_parameters()
        yield from self._head_parameters()

    def rule_state(self) -> dict[str, Any]:
        """Learned feedback, and what the heads have learned."""
        return super().rule_state() | {name: parameter.detach() for name, parameter in self._head_parameters()}

    @torch.no_grad()
    def load_rule_state(self, state: dict[str, Any]) -> None:
        """Takes back what `rule_state` gave. Raises KeyError where something is missing."""
        super().load_rule_state(state)
        for name, parameter in self._head_parameters():
            parameter.copy_(state[name])

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """The fixed tensors of feedback layers, then those of the heads."""
        yield from super().fixed_feedback()
        for unit, head in zip(self.units, self.heads, strict=True):
            for name, buffer in head.named_buffers(remove_duplicate=False):
                yield f"head.{unit}.{name}", buffer

    def _head_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for unit, head in zip(self.units, self.heads, strict=True):
            for name, parameter in head.named_parameters():
                yield f"head.{unit}.{name}", parameter


def undrawn(kind: type[Layer], *sizes: int, **settings: int | bool) -> Layer:
    """A layer that is yet to be drawn: what torch draws for it leaves the global random stream as it was."""
    # Not by skip_init, whose meta tensors import torch's compiler.
    with torch.random.fork_rng(devices=[]):
        return kind(*sizes, **settings)


def draw_layers(head: Head, *, seed: int, name: str) -> Head:
    """`head`, of the unit `name`, with every convolution and fully connected layer drawn as the model's are."""
    for part, module in head.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw_layer(module, seed=seed, purpose="head", name=f"{name}.{part}")
    return head


def pooled(h: Tensor) -> Tensor:
    """`h` (N, C, H, W) averaged to maps of 2x2, smaller ones as they are, and flattened; (N, C) stays.

    Windows do not overlap: of an odd side the first half has one pixel more. (Adaptive pooling has no deterministic
    backward on a GPU.)
    """
    if h.dim() == 2:
        return h
    window = (math.ceil(h.shape[2] / 2), math.ceil(h.shape[3] / 2))
    return average(h, window).flatten(1)


def average(maps: Tensor, window: tuple[int, int]) -> Tensor:
    """`maps` averaged over `window`; at the border, over what there is of it."""
    fits = maps.shape[2] % window[0] == 0 and maps.shape[3] % window[1] == 0
    if fits and host.computes(maps):
        found: Tensor = Average.apply(maps, window)
        return found
    return F.avg_pool2d(maps, window, ceil_mode=True)


class Average(torch.autograd.Function):
    """`avg_pool2d` over windows that fit, with the same bits; its backward is up to ten times as fast on a CPU."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, window: tuple[int, int]) -> Tensor:
        """(N, C, H, W) -> (N, C, H / window[0], W / window[1])."""
        ctx.shape, ctx.window = maps.shape, window
        ctx.order = torch.channels_last if is_channels_last(maps) else torch.contiguous_format
        return F.avg_pool2d(maps, window)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        """The gradient of the maps."""
        (delta,) = grad_outputs
        (height, width), (rows, columns) = ctx.window, delta.shape[2:]
        share = (delta / (height * width)).contiguous(memory_format=ctx.order)
        gradient = torch.empty(ctx.shape, dtype=delta.dtype, device=delta.device, memory_format=ctx.order)
        windows = gradient.view(*ctx.shape[:2], rows, height, columns, width)
        windows.copy_(share[:, :, :, None, :, None])
        return gradient, None


def pooled_features(shape: torch.Size, *, by: int = 1) -> int:
    """How many features `pooled` gives for an output of `shape`, or for one averaged by `by` before."""
    return int(shape[1]) * math.prod(min(2, math.ceil(side / by)) for side in shape[2:])
