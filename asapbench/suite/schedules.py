"""What a learning-rate schedule declares: a factor of the initial rate for each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asapbench.suite.options import Choice, Entry


@dataclass(frozen=True)
class Epoch:
    """One epoch of a cell: `number` counts from 1 to `epochs`, and the first `warmup` of them ramp the rate up."""

    number: int
    epochs: int
    warmup: int = 0

    @property
    def done(self) -> int:
        """Epochs before this one, the warm-up left out."""
        return self.number - 1 - self.warmup

    @property
    def total(self) -> int:
        """Epochs of the cell, the warm-up left out."""
        return self.epochs - self.warmup


@dataclass(frozen=True, kw_only=True)
class ScheduleEntry(Entry):
    """A schedule: `factor` gives the learning rate of an epoch behind the warm-up, in units of the initial rate.

    `fault` says why a choice cannot be used for so many epochs, and how to fix it, as (option, message), or None.
    """

    factor: Callable[[Choice, Epoch], float]
    fault: Callable[[Choice, int], tuple[str, str] | None] = lambda _choice, _epochs: None
