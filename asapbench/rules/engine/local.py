"""Training by local losses: heads behind the units of a program, and the learner that adds their losses up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from asapbench.rules.engine.criterion import Criterion
from asapbench.rules.engine.heads import Head
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.rules.engine.program import add_module, add_outputs
from asapbench.rules.engine.units import Unit


def add_heads(units: Sequence[Unit], heads: Mapping[str, Head], program: fx.GraphModule) -> None:
    """Makes `program` take (inputs, labels) and give (logits, the units' losses).

    Each head runs behind its unit, and so, as autograd goes backwards, just before it: of the errors that heads send
    back there is one at a time.
    """
    (inputs,) = program.graph.find_nodes(op="placeholder")
    with program.graph.inserting_after(inputs):
        labels = program.graph.placeholder("labels")
    losses = []
    for unit in units:
        target = add_module(heads[unit.name], program, kind="head", layer=unit.name)
        with program.graph.inserting_after(unit.end):
            losses.append(program.graph.call_module(target, (unit.end, labels)))
    add_outputs(losses, program)


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
                object.__setattr__(module, "criterion", criterion)

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

    def learned_beside(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The learned feedback weights, then the parameters of the heads."""
        yield from super().learned_beside()
        for unit, head in zip(self.units, self.heads, strict=True):
            for name, parameter in head.named_parameters():
                yield f"head.{unit}.{name}", parameter

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """The fixed tensors of feedback layers, then those of the heads."""
        yield from super().fixed_feedback()
        for unit, head in zip(self.units, self.heads, strict=True):
            for name, buffer in head.named_buffers(remove_duplicate=False):
                yield f"head.{unit}.{name}", buffer
