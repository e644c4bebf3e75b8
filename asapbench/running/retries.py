"""What happens to a cell after a bad end: whether the same run retries it, when, and beside how many others.

Nothing here reads a clock, a device or the database. Divergence is a result and not a bad end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from asapbench.store.records import EndState

Fault = Literal["failed", "killed", "hung", "lost", "out_of_memory"]
"""failed: by itself, with a traceback. killed: its worker was killed from outside. hung: its worker sent nothing for
`--hang-after` seconds. lost: its machine left the cluster.
"""

_KILLED = 2
"""Retries of a cell whose worker was killed or hung: mostly the fault is not the cell's own."""
_LOST = 20
"""Retries of a cell whose machine was lost: preemptible machines are lost daily."""
_FIRST_WAIT, _GROWTH, _LONGEST_WAIT = 1.0, 4.0, 300.0
"""Seconds: a full disk or an unavailable server needs time, and a permanent fault should cost little."""


@dataclass(frozen=True)
class Retry:
    """Another attempt: after `wait` seconds at the earliest, beside at most `neighbours` cells on its device."""

    wait: float = 0.0
    neighbours: int | None = None

    @property
    def text(self) -> str:
        """When and how, in words."""
        if self.neighbours is None:
            return f"retry in {self.wait:.0f} s"
        return f"retry beside at most {self.neighbours}" if self.neighbours else "retry, alone on its device"


class Retries:
    """Counts the faults of each cell. `failures`: retries of a cell that failed."""

    def __init__(self, failures: int) -> None:
        self._allowed: dict[Fault, int] = {"failed": failures, "killed": _KILLED, "hung": _KILLED, "lost": _LOST}
        self._faults: Counter[tuple[str, Fault]] = Counter()

    def after(self, cell_id: str, fault: Fault, *, neighbours: int) -> Retry | None:
        """The retry of a cell that ended with `fault` beside `neighbours` others; None if this end is final."""
        if fault == "out_of_memory":
            # Half the neighbours each time, so this ends: a cell that runs out alone cannot be given more memory.
            return Retry(neighbours=neighbours // 2) if neighbours else None
        self._faults[cell_id, fault] += 1
        number = self._faults[cell_id, fault]
        if number > self._allowed[fault]:
            return None
        return Retry(wait=min(_FIRST_WAIT * _GROWTH ** min(number - 1, 10), _LONGEST_WAIT))


def state_after(fault: Fault, *, is_resumed: bool) -> EndState:
    """The state recorded for the attempt; `is_resumed`: the cell is retried, or the run is stopping and leaves it."""
    if fault == "out_of_memory":
        return "out_of_memory"
    return "interrupted" if is_resumed and fault != "failed" else "failed"
