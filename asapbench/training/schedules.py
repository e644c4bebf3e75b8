"""The learning-rate schedules: one rate per epoch. A schedule is added here, or by a plug-in, and nowhere else.

`training.optimizer.learning_rate` puts the warm-up in front.
"""

from __future__ import annotations

import math
from itertools import pairwise

from asapbench.suite.entries import PAPER, Epoch, ScheduleEntry
from asapbench.suite.options import Choice, Option


def _step(choice: Choice, epoch: Epoch) -> float:
    return choice.number("factor") ** sum(epoch.number > milestone for milestone in _numbers(choice))


def _numbers(choice: Choice) -> list[int]:
    return [int(word) for word in choice.text("milestones").split()]


def _milestones(text: str) -> str:
    """`text` in canonical form. Raises ValueError."""
    words = text.split()
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 9 for word in words):
        raise ValueError(f'milestones must be epochs, as in "60 120 160", not {text!r}')
    numbers = [int(word) for word in words]
    if numbers[0] < 1 or any(first >= second for first, second in pairwise(numbers)):
        raise ValueError(f"milestones must be epochs from 1 on that increase, not {text!r}")
    return " ".join(map(str, numbers))


def _unreached(choice: Choice, epochs: int) -> tuple[str, str] | None:
    first = _numbers(choice)[0]
    if first < epochs:
        return None
    return "milestones", (
        f"the first milestone, {first}, leaves no epoch of {epochs} behind it: choose milestones below {epochs}"
    )


constant = ScheduleEntry("constant", "constant", "the initial rate", factor=lambda _choice, _epoch: 1.0)
cosine = ScheduleEntry(
    "cosine",
    "cosine",
    f"{PAPER}, App. C: cosine annealing by epoch, to zero",
    factor=lambda _choice, epoch: (1 + math.cos(math.pi * epoch.done / epoch.total)) / 2,
)
linear = ScheduleEntry(
    "linear", "linear", "linear decay by epoch, to zero", factor=lambda _choice, epoch: 1 - epoch.done / epoch.total
)
step = ScheduleEntry(
    "step",
    "step",
    "the rate times a factor after each milestone, as torch's MultiStepLR",
    options=(
        Option(
            "milestones",
            "60 120 160",
            "epochs after which the rate is multiplied, counted from the first of the cell, warm-up included",
            canonical=_milestones,
        ),
        Option("factor", 0.2, "what the rate is multiplied with", minimum=0),
    ),
    factor=_step,
    fault=_unreached,
)
