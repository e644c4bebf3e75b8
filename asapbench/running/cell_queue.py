"""Cells that wait: for a slot, until a time, or for another run of the same database to end with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from asapbench.store.records import FINAL, Attempt
from asapbench.store.store import Store
from asapbench.suite.cell import Cell


class CellQueue:
    """The cells of a run that do not train now, in order.

    `in_other_runs` are those that another run is training. That run may stop or die before they are done.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._ready = deque(cells)
        self._deferred: list[tuple[float, Cell]] = []
        self.in_other_runs: list[Cell] = []

    def __bool__(self) -> bool:
        return bool(self._ready or self._deferred or self.in_other_runs)

    def take(self, now: float, may_start: Callable[[Cell], bool]) -> Cell | None:
        """Remove and return the first cell that may start; None if there is none now."""
        self._ready.extend(cell for until, cell in self._deferred if until <= now)
        self._deferred = [item for item in self._deferred if item[0] > now]
        refused: set[str] = set()
        for position, cell in enumerate(self._ready):
            # Whether a cell may start is the same for all its seeds, and a grid has many.
            if cell.group not in refused and may_start(cell):
                del self._ready[position]
                return cell
            refused.add(cell.group)
        return None

    def return_to_front(self, cell: Cell) -> None:
        """Return an unstarted cell to the front."""
        self._ready.appendleft(cell)

    def defer(self, cell: Cell, *, until: float) -> None:
        """Let `cell` wait until `until`; then it queues behind the cells that are ready."""
        self._deferred.append((until, cell))

    def reclaim(self, store: Store, is_stale: Callable[[Attempt], bool]) -> None:
        """Queue the cells again that other runs left unfinished or whose lease is stale; the rest keep waiting."""
        if not self.in_other_runs:
            return
        ids = {cell.id for cell in self.in_other_runs}
        store.release_dead(stale=lambda attempt: attempt.cell_id in ids and is_stale(attempt))
        state = {cell_id: current.state for cell_id, current in store.states(list(ids)).items() if current}
        others, self.in_other_runs = self.in_other_runs, []
        for cell in others:
            if state.get(cell.id) == "running":
                self.in_other_runs.append(cell)
            elif state.get(cell.id) not in FINAL:
                self._ready.append(cell)
