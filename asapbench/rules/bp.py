"""Backpropagation: the control. The model's own autograd, unchanged, and two ways of it that need less memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asapbench.rules.base import Declares, Rule
from asapbench.suite.entries import Look, RuleEntry
from asapbench.suite.options import Choice, Option

if TYPE_CHECKING:
    from torch import nn

    from asapbench.rules.engine.graph import Dataflow
    from asapbench.rules.engine.learner import Learner

CHECKPOINTING = Option(
    "checkpointing",
    False,
    "activation checkpointing (Chen et al. 2016): backward computes activations again instead of keeping them; the "
    "result has the same bits",
)
MICRO_BATCHES = Option(
    "micro_batches",
    1,
    "gradient accumulation: the batch is computed in so many parts before one step on its mean loss; BatchNorm's "
    "statistics are those of a part, so that without BatchNorm alone the gradient is that of the whole batch",
    minimum=1,
)


def parts_of(examples: int, *, wanted: int) -> int:
    """The parts of a batch: `wanted`, fewer where one would have a single example, on which BatchNorm has no variance.

    >>> parts_of(8, wanted=4), parts_of(5, wanted=4), parts_of(1, wanted=4)
    (4, 2, 1)
    """
    return max(1, min(wanted, examples // 2))


def _fault(choice: Choice, batch_size: int) -> tuple[str, str] | None:
    """Parts of one example have no variance for BatchNorm."""
    parts = choice.integer(MICRO_BATCHES.name)
    if parts == parts_of(batch_size, wanted=parts):
        return None
    text = (
        f"micro_batches {parts} leave parts of one example of a batch of {batch_size}: take at most {batch_size // 2}"
    )
    return MICRO_BATCHES.name, text


class BP(Rule):
    """dW from the layer's own input, the error through W^T."""

    entry = RuleEntry(
        "bp",
        "BP",
        "backpropagation, the control",
        options=(CHECKPOINTING, MICRO_BATCHES),
        look=Look("ink", "circle"),
        stored_activations=lambda choice: None if choice.flag(CHECKPOINTING.name) else "all",
        fault=_fault,
        controls=(CHECKPOINTING.name, MICRO_BATCHES.name),
    )

    @property
    def declares(self) -> Declares:
        """Own input, transported weights."""
        return Declares(update="own", error_path="transport", linear="transport", stem="trained")

    @property
    def not_certified(self) -> str | None:
        """Parts have other statistics than the batch."""
        if self.choice.integer("micro_batches") == 1:
            return None
        return (
            "a certificate compares with the whole batch, and BatchNorm's statistics are those of a part: check bp "
            "without micro_batches"
        )

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        """The model's own autograd, in segments or parts as the options say."""
        learner = super().learner(model, flow, seed)
        if self.choice.flag("checkpointing"):
            from asapbench.rules.engine.recomputed import in_segments

            learner.program = in_segments(learner.program, flow.shapes)
        if (parts := self.choice.integer("micro_batches")) > 1:
            from asapbench.rules.engine.accumulated import AccumulatingLearner

            return AccumulatingLearner(model, learner.program, learner.feedback_layers, parts=parts)
        return learner
