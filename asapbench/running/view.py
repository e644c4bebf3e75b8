"""`View`: what a run reports while it trains; and the run's outcome.

The runner calls one view, on its own thread; `cli.progress.open_view` makes it. What receives epochs beside the
database is a sink: see `running/sinks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.plan import Plan
from asapbench.suite.cell import Cell
from asapbench.worker.protocol import Progressed

Reason = Literal["finished", "time limit", "signal", "failures"]


@dataclass
class Outcome:
    """Why the run ended, and how many of its cells ended in each state, or were "pruned".

    `left_out` counts cells that could not be trained, by the reason. `failed_sinks` says why sinks were switched off.
    """

    reason: Reason = "finished"
    ended: Counter[str] = field(default_factory=Counter)
    in_other_runs: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    failed_sinks: list[str] = field(default_factory=list)


class View(Protocol):
    """Receives the events of one run."""

    def begin(self, plan: Plan, slots: Sequence[Slot]) -> None:
        """The run starts: what it will train, and where. Called once, first."""

    def began(self, slot: Slot, cell: Cell, *, epochs_done: int, batch: int, bit_exact: bool) -> None:
        """A cell trains on a slot, after `epochs_done` epochs and `batch` batches."""

    def progressed(self, slot: Slot, cell: Cell, event: Progressed) -> None:
        """A sign of life."""

    def finished_epoch(self, slot: Slot, cell: Cell, metrics: EpochMetrics) -> None:
        """An epoch is in the database."""

    def ended(self, slot: Slot, cell: Cell, state: str, error: str | None, *, retry: str | None) -> None:
        """An attempt ended; `retry`: when and how the cell is retried, None if it is not.

        `state` is "pruned" where the run has ended it, with the reason as `error`.
        """

    def message(self, text: str) -> None:
        """Something to know."""

    def tick(self) -> None:
        """Called at least twice a second."""

    def close(self) -> None:
        """Called once, last, however the run ended, and even if it never started."""
