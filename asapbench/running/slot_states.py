"""The workers of a run, one per slot, and the cells that they train."""

from __future__ import annotations

from dataclasses import dataclass

from asapbench.errors import AttemptLostError, EpochConflictError, StoreError
from asapbench.running.assignment import Assignment
from asapbench.store import Measured, Provenance
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.worker.protocol import AnyEvent, Ready, Stop
from asapbench.worker.supervision import Worker


@dataclass(eq=False)
class SlotState:
    """One slot's worker, from its start to its end, and the cell that it trains or was started for.

    `silent_since` is the awake clock's time of its last event; None while no event is due. `provenance` is set once the
    worker is ready.
    """

    worker: Worker
    reserved: Cell | None = None
    silent_since: float | None = None
    provenance: Provenance | None = None
    assignment: Assignment | None = None

    @property
    def cell(self) -> Cell | None:
        """The cell that trains there, or is about to."""
        return self.reserved if self.assignment is None else self.assignment.cell

    def received_event(self, now: float) -> None:
        """Record a sign of life."""
        if self.silent_since is not None:
            self.silent_since = now

    def is_silent(self, now: float, *, seconds: float) -> bool:
        """Whether an event is due and none has come for `seconds`."""
        return self.silent_since is not None and now - self.silent_since >= seconds

    def concerns(self, event: AnyEvent) -> bool:
        """Whether `event` is of the attempt under way: not of an earlier one, nor of one that another run took over."""
        held = self.assignment
        return held is not None and not isinstance(event, Ready) and event.attempt == held.claim.attempt_id


class SlotStates(dict[int, SlotState]):
    """The states by the slot's number; a slot without a worker has none."""

    def of(self, worker: Worker) -> SlotState | None:
        """The state of `worker`; None if it was dropped."""
        state = self.get(worker.slot.number)
        return state if state is not None and state.worker is worker else None

    def training(self) -> list[tuple[SlotState, Assignment]]:
        """The slots that have a cell assigned."""
        return [(state, state.assignment) for state in self.values() if state.assignment is not None]

    def cells_on(self, memory: str) -> list[Cell]:
        """The cells that train, or are about to, in one device's memory."""
        states = [state for state in self.values() if state.worker.slot.memory == memory]
        return [state.cell for state in states if state.cell is not None]

    def count_neighbours(self, memory: str) -> None:
        """Note for each cell that trains in this memory how many others it has had beside it."""
        together = [held for state, held in self.training() if state.worker.slot.memory == memory]
        for held in together:
            held.neighbours = max(held.neighbours, len(together) - 1)

    def silent(self, now: float, *, seconds: float, start_seconds: float) -> list[SlotState]:
        """The workers that were silent for `seconds`, or `start_seconds` before they were ready."""
        limits = {True: seconds, False: max(seconds, start_seconds)}
        return [state for state in self.values() if state.is_silent(now, seconds=limits[state.worker.ready])]

    def write_epochs(self, store: Store) -> list[tuple[SlotState, StoreError]]:
        """Write the epochs and layers received so far in one commit; return the slots whose cell was refused."""
        pending = [(state, held) for state, held in self.training() if held.rows or held.layers]
        refused: list[tuple[SlotState, StoreError]] = []
        if not pending:
            return refused
        try:
            store.record_many([Measured(held.claim, held.rows, held.layers) for _, held in pending])
        except (AttemptLostError, EpochConflictError):
            for state, held in pending:
                try:
                    store.record_epochs(held.claim, held.rows, held.layers)
                except (AttemptLostError, EpochConflictError) as error:
                    refused.append((state, error))
        for _, held in pending:
            held.forget()
        return refused

    def renew_leases(self, store: Store) -> list[tuple[SlotState, Cell]]:
        """Advance the lease of each cell; return those that another run has taken over."""
        training = {held.claim.attempt_id: (state, held) for state, held in self.training()}
        lost = [training[claim.attempt_id] for claim in store.heartbeat([held.claim for _, held in training.values()])]
        return [(state, held.cell) for state, held in lost]

    def send_stop(self) -> None:
        """Let every cell stop after its step, with a checkpoint."""
        for state, _ in self.training():
            state.worker.send(Stop())

    def close(self) -> None:
        """End every worker, at once if it trains or starts."""
        for state in self.values():
            if state.assignment is not None or not state.worker.ready:
                state.worker.kill()
        for state in self.values():
            state.worker.close()
