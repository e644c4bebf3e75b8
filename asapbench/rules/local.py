"""What local rules share: a model in units, each with a local loss that trains it alone.

A rule says what its units are and gives each a head: a module that takes the unit's output and the labels and gives
the unit's loss. Heads are no part of the model, which is evaluated without them. What a head learns is trained and kept
with the model's parameters; what it draws and keeps fixed is drawn again from the seed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.local import Head, LocalLearner
    from asapbench.rules.engine.units import Unit


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

    def units(self, model: nn.Module, flow: Dataflow) -> list[Unit]:
        """The units that get a head."""
        from asapbench.rules.engine.units import units_of

        return units_of(self.choice.text("unit"), model, flow)

    def heads(self, units: Sequence[Unit], model: nn.Module, flow: Dataflow, *, seed: int) -> dict[str, Head]:
        """The head of each unit by its name, in the order of the units."""
        return {unit.name: self.head(flow.shape(unit.end), flow.classes, seed=seed, name=unit.name) for unit in units}

    @abstractmethod
    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        """The head, on the CPU in float32, of a unit called `name` whose output has `shape`, batch first."""

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> LocalLearner:
        """The model cut between units, each with its head. Raises GraphError."""
        from asapbench.rules.engine.local import LocalLearner, add_heads
        from asapbench.rules.engine.program import compiled
        from asapbench.rules.engine.rewrite import insert_feedback_layers
        from asapbench.rules.engine.units import separate

        units = self.units(model, flow)
        heads = self.heads(units, model, flow, seed=seed)
        if self.declares.loss == "local":
            flow = separate(units, flow)
        layers = insert_feedback_layers(self.plan(flow), flow, seed)
        like = next(iter(model.parameters()))
        heads = {name: head.to(like) for name, head in heads.items()}
        add_heads(units, heads, flow.program)
        return LocalLearner(model, compiled(flow.program), layers, heads, output_share=self.output_share)
