"""The cells of a grid that are left, and the time and disk space that they should take. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asapbench.machine.slots import Slot, hardware_of
from asapbench.running.estimate import Basis, EpochTimes, TimeLeft, makespan
from asapbench.store.records import FINAL, Attempt, Progress, State
from asapbench.suite.cell import Cell
from asapbench.suite.shapes import checkpoint_bytes

if TYPE_CHECKING:
    from asapbench.store import Store, Timing

DISCARDED = "discarded"
"""The state of a cell whose results the user has discarded: no run trains it, until it is restored."""


@dataclass(frozen=True)
class Item:
    """One cell of the plan: its state, its finished epochs, and the estimated wall seconds of an epoch on one slot."""

    cell: Cell
    state: str
    epochs_done: int
    epoch_seconds: float
    basis: Basis = "arithmetic"

    @property
    def left(self) -> bool:
        """Whether it is to be trained."""
        return self.state not in (*FINAL, "running", DISCARDED)

    @property
    def seconds(self) -> float:
        """Estimated seconds of the epochs that are left, on one slot."""
        return max(self.cell.epochs - self.epochs_done, 0) * self.epoch_seconds


@dataclass(frozen=True)
class Plan:
    """Every cell asked for, in order. `times` are the estimates of their epochs."""

    items: tuple[Item, ...]
    slots: int
    times: EpochTimes

    @property
    def left(self) -> list[Item]:
        """Cells to be trained."""
        return [item for item in self.items if item.left]

    @property
    def states(self) -> Counter[str]:
        """How many cells are in each state."""
        return Counter(item.state for item in self.items)

    @property
    def seconds(self) -> float:
        """Time until all cells that are left have ended."""
        return makespan((), [item.seconds for item in self.left], slots=self.slots)

    @property
    def bases(self) -> Counter[Basis]:
        """On what the estimates of the cells that are left rest."""
        return Counter(item.basis for item in self.left)

    def time_left(self, clock: Callable[[], float]) -> TimeLeft:
        """An estimate that follows the cells that are left, by this clock."""
        return TimeLeft(
            self.times, [(item.cell, item.epochs_done) for item in self.left], slots=self.slots, clock=clock
        )

    @property
    def disk_bytes(self) -> int:
        """Checkpoints: one for each cell, two for those under way."""
        sizes = sorted((checkpoint_bytes(item.cell) for item in self.left), reverse=True)
        return sum(sizes) + sum(sizes[: self.slots])


def plan_cells(
    store: Store | None,
    cells: Sequence[Cell],
    slots: Sequence[Slot],
    only_states: Sequence[State] = (),
    *,
    again: bool = False,
    times_of: Callable[[Sequence[Timing]], EpochTimes] | None = None,
) -> Plan:
    """The plan of these cells on these slots, by what the database holds; without a database, of all of them.

    `again`: every cell is trained from its start, whatever its state is; else that of a discarded cell is `DISCARDED`,
    whatever its attempt is. `times_of` makes the times of an epoch from those that the database has; by default, on the
    hardware of the slots.
    """
    states = {} if store is None or again else current_attempts(store)
    discarded = {} if store is None or again else store.discards()
    timings = [] if store is None else store.measured_seconds_per_epoch()
    whole = make_plan(cells, states, timings, slots, times=None if times_of is None else times_of(timings))
    items = [replace(item, state=DISCARDED) if item.cell.id in discarded else item for item in whole.items]
    return replace(whole, items=tuple(item for item in items if not only_states or item.state in only_states))


def current_attempts(store: Store) -> dict[str, Attempt | Progress]:
    """The current attempt of each cell of the database that has one, for `state_of`."""
    running = {attempt.cell_id: attempt for attempt in store.running()}
    return {**store.progress(), **running}


def make_plan(
    cells: Sequence[Cell],
    states: Mapping[str, Attempt | Progress | None],
    timings: Sequence[Timing],
    slots: Sequence[Slot],
    *,
    times: EpochTimes | None = None,
) -> Plan:
    """The plan of `cells` whose current attempts are `states`."""
    times = times or EpochTimes(slots[0].kind, timings, hardware=hardware_of(slots[0]))
    items = []
    for cell in cells:
        attempt = states.get(cell.id)
        expected = times.of(cell)
        done = 0 if attempt is None else attempt.epochs_done
        items.append(Item(cell, state_of(attempt), done, expected.seconds, expected.basis))
    return Plan(tuple(items), len(slots), times)


def state_of(attempt: Attempt | Progress | None) -> str:
    """The state of a cell by its current attempt. One that a dead run left running counts as interrupted.

    Only an `Attempt` knows the process that runs it.
    """
    if attempt is None:
        return "pending"
    if attempt.state != "running" or isinstance(attempt, Progress):
        return attempt.state
    return "interrupted" if attempt.owner.is_dead() else "running"
