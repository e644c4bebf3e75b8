"""The cells of a grid that are left, and the time and disk space that they should take. Torch-free."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asapbench.machine.kinds import KINDS
from asapbench.machine.slots import Slot
from asapbench.store.records import FINAL, Attempt, State
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice
from asapbench.suite.shapes import checkpoint_bytes, layers_for, training_multiplications

if TYPE_CHECKING:
    from asapbench.store import Store, Timing


@dataclass(frozen=True)
class Item:
    """One cell of the plan: its state, its finished epochs, and the estimated seconds of an epoch on one slot."""

    cell: Cell
    state: str
    epochs_done: int
    epoch_seconds: float
    measured: bool

    @property
    def left(self) -> bool:
        """Whether it is to be trained."""
        return self.state not in (*FINAL, "running")

    @property
    def seconds(self) -> float:
        """Estimated seconds of the epochs that are left, on one slot."""
        return max(self.cell.epochs - self.epochs_done, 0) * self.epoch_seconds


@dataclass(frozen=True)
class Plan:
    """Every cell asked for, in order."""

    items: tuple[Item, ...]
    slots: int

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
        """Time to finish with every slot busy: at least the longest cell."""
        left = [item.seconds for item in self.left]
        return max(sum(left) / max(min(self.slots, len(left)), 1), max(left, default=0.0))

    @property
    def measured(self) -> bool:
        """Whether every estimate rests on an epoch measured on this kind of slot."""
        return all(item.measured for item in self.left)

    @property
    def disk_bytes(self) -> int:
        """Checkpoints: one for each cell, two for those under way."""
        sizes = sorted((checkpoint_bytes(item.cell) for item in self.left), reverse=True)
        return sum(sizes) + sum(sizes[: self.slots])


def plan_cells(
    store: Store | None, cells: Sequence[Cell], slots: Sequence[Slot], only_states: Sequence[State] = ()
) -> Plan:
    """The plan of these cells on these slots, by what the database holds; without a database, of all of them."""
    states = {} if store is None else store.states([cell.id for cell in cells])
    timings = [] if store is None else store.measured_seconds_per_epoch()
    whole = make_plan(cells, states, timings, slots)
    wanted = [item for item in whole.items if not only_states or item.state in only_states]
    return replace(whole, items=tuple(wanted))


def make_plan(
    cells: Sequence[Cell], states: Mapping[str, Attempt | None], timings: Sequence[Timing], slots: Sequence[Slot]
) -> Plan:
    """The plan of `cells` whose current attempts are `states`."""
    clock = _Clock(slots[0].kind, timings)
    items = []
    for cell in cells:
        attempt = states.get(cell.id)
        seconds, measured = clock.epoch(cell)
        done = 0 if attempt is None else attempt.epochs_done
        items.append(Item(cell, state_of(attempt), done, seconds, measured))
    return Plan(tuple(items), len(slots))


def state_of(attempt: Attempt | None) -> str:
    """The state of a cell by its current attempt. One that a dead run left running counts as interrupted."""
    if attempt is None:
        return "pending"
    return "interrupted" if attempt.state == "running" and attempt.owner.is_dead() else attempt.state


class _Clock:
    """Seconds an epoch: measured for the same configuration, else the arithmetic, corrected on the same model."""

    def __init__(self, kind: str, timings: Sequence[Timing]) -> None:
        self._kind = KINDS[kind]
        ours = [timing for timing in timings if timing.device.startswith(kind)]
        self._measured = {timing.config.group: timing.seconds for timing in ours}
        ratios: dict[Choice, list[float]] = {}
        for timing in ours:
            ratios.setdefault(timing.config.model, []).append(timing.seconds / self._nominal(timing.config))
        self._ratios = {model: statistics.median(values) for model, values in ratios.items()}

    def epoch(self, cell: Cell) -> tuple[float, bool]:
        """Seconds, and whether this very configuration was measured."""
        if cell.group in self._measured:
            return self._measured[cell.group], True
        return self._nominal(cell) * self._ratios.get(cell.model, 1.0), False

    def _nominal(self, cell: Cell) -> float:
        shape = dataset_shape(cell.dataset)
        steps = -(-shape.train // cell.batch_size)
        overhead = steps * len(layers_for(cell.model, cell.dataset)) * self._kind.layer_seconds
        return training_multiplications(cell.model, cell.dataset) / self._kind.rate + overhead
