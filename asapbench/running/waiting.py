"""Cells that wait for a slot: in order, until a time, or for another run of the same database that has them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from asapbench.store.records import FINAL, Attempt
from asapbench.store.store import Store
from asapbench.suite.cell import Cell


class Waiting:
    """`elsewhere` are those that another run is training: it may stop, or die, and leave them undone."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._ready = deque(cells)
        self._later: list[tuple[float, Cell]] = []
        self.elsewhere: list[Cell] = []

    def __bool__(self) -> bool:
        return bool(self._ready or self._later or self.elsewhere)

    def take(self, now: float, may_start: Callable[[Cell], bool]) -> Cell | None:
        """The first cell that may start, taken out; None where there is none now."""
        self._wake(now)
        refused: set[str] = set()
        for position, cell in enumerate(self._ready):
            # Whether a cell may start is the same for all its seeds, and a grid has many.
            if cell.group not in refused and may_start(cell):
                del self._ready[position]
                return cell
            refused.add(cell.group)
        return None

    def put_back(self, cell: Cell) -> None:
        """It was taken and could not be begun: it is the first again."""
        self._ready.appendleft(cell)

    def put_off(self, cell: Cell, *, until: float) -> None:
        """It waits until `until`, and then for those that are ready by now."""
        self._later.append((until, cell))

    def look_elsewhere(self, store: Store, is_stale: Callable[[Attempt], bool]) -> None:
        """Takes back what other runs have left undone, or stand still with; waits for the rest."""
        if not self.elsewhere:
            return
        ids = {cell.id for cell in self.elsewhere}
        store.release_dead(stale=lambda attempt: attempt.cell_id in ids and is_stale(attempt))
        states = store.states(list(ids))
        running = {cell_id for cell_id, current in states.items() if current and current.state == "running"}
        done = {cell_id for cell_id, current in states.items() if current and current.state in FINAL}
        self._ready.extend(cell for cell in self.elsewhere if cell.id not in running | done)
        self.elsewhere = [cell for cell in self.elsewhere if cell.id in running]

    def _wake(self, now: float) -> None:
        due = [cell for until, cell in self._later if until <= now]
        if due:
            self._later = [item for item in self._later if item[0] > now]
            self._ready.extend(due)
