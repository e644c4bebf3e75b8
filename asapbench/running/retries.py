"""What becomes of a cell after a bad end: whether the same run tries it again, when, and beside how many others.

Nothing here looks at a clock, a device or the database. Divergence is a result, and not a bad end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from asapbench.store.records import EndState

Fault = Literal["failed", "killed", "hung", "lost", "out_of_memory"]
"""failed: by itself, with a traceback. killed: its worker, from outside. hung: it said nothing for too long.
lost: the machine that it was on, from a cluster.
"""

_KILLED = 2
"""How often a cell whose worker was killed or hung is tried again: mostly the fault is not the cell's own."""
_LOST = 20
"""How often a cell is begun again whose machine was lost, as those that cost less are lost daily."""
_FIRST_WAIT, _GROWTH, _LONGEST_WAIT = 1.0, 4.0, 300.0
"""Seconds: a disk that is full or a server that is away needs time, and a fault that stays should cost little."""


@dataclass(frozen=True)
class Again:
    """Another try, in `wait` seconds at the earliest, beside at most `neighbours` cells on its device."""

    wait: float = 0.0
    neighbours: int | None = None

    @property
    def text(self) -> str:
        """When and how, in words."""
        if self.neighbours is None:
            return f"again in {self.wait:.0f} s"
        return f"again beside at most {self.neighbours}" if self.neighbours else "again, alone on its device"


class Retries:
    """Counts the faults of each cell. `failures`: how often a cell that failed is tried again."""

    def __init__(self, failures: int) -> None:
        self._allowed: dict[Fault, int] = {
            "failed": failures,
            "killed": _KILLED,
            "hung": _KILLED,
            "lost": _LOST,
        }
        self._faults: Counter[tuple[str, Fault]] = Counter()

    def after(self, cell_id: str, fault: Fault, *, neighbours: int) -> Again | None:
        """The next try of a cell that ended so beside `neighbours` others; None where this end is for good."""
        if fault == "out_of_memory":
            # Fewer each time, so it ends: at the latest alone, and there is nothing more to give.
            return Again(neighbours=neighbours // 2) if neighbours else None
        self._faults[cell_id, fault] += 1
        number = self._faults[cell_id, fault]
        if number > self._allowed[fault]:
            return None
        return Again(wait=min(_FIRST_WAIT * _GROWTH ** min(number - 1, 10), _LONGEST_WAIT))


def state_after(fault: Fault, *, goes_on: bool) -> EndState:
    """How the attempt is recorded; `goes_on`: the cell is tried again, or the run is stopping and leaves it."""
    if fault == "out_of_memory":
        return "out_of_memory"
    return "interrupted" if goes_on and fault != "failed" else "failed"
