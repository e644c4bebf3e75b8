"""The runner: assigns cells to slots, receives their workers' events, and is the one writer of the database.

The end of one cell never ends the run. On a stop (time limit, signal, failures) every worker finishes its step and
writes a checkpoint, so that `resume` continues from there.
"""

from __future__ import annotations

import math
import queue
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import cache

from asapbench.errors import AttemptLostError, EpochConflictError, WorkerError
from asapbench.machine.hardware import commit
from asapbench.machine.processor import without_bf16
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running import leases
from asapbench.running.admission import Admission
from asapbench.running.assignment import Options, assign
from asapbench.running.cell_queue import CellQueue
from asapbench.running.leases import AwakeClock
from asapbench.running.retries import Fault, Retries, Retry, state_after
from asapbench.running.settings import RunSettings
from asapbench.running.sinks.feed import Feeds
from asapbench.running.slot_states import SlotState, SlotStates
from asapbench.running.view import Outcome, Reason, View
from asapbench.store import EndState, Provenance
from asapbench.store.records import FINAL
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.worker.protocol import (
    Aligned,
    AnyEvent,
    Ended,
    FinishedEpoch,
    Progressed,
    Ready,
    Resumed,
    Stop,
    Warned,
)
from asapbench.worker.supervision import Executor, Inbox, WorkerEvent

Prune = Callable[[Cell, Sequence[EpochMetrics]], str | None]
"""Why a cell ends after these epochs, before it has trained all; None where it trains on."""

_LEASE_SECONDS = 10.0
_RECEIVE_SECONDS = 0.4
_GATHER_SECONDS = 0.02
"""How long an event waits for others: with many slots they share a commit, and each pass over all slots."""
_WORK_SECONDS = 0.2
"""How long ends and starts of cells, a commit each, may delay the writing of other cells' epochs."""
_RECLAIM_SECONDS = 3.0
_START_SECONDS = 300.0
"""The shortest time that a worker has to become ready: it imports torch, perhaps from a slow disk."""
_STARTS = 3
"""A slot is no longer used after this number of its workers died before they were ready."""


class Runner:
    """Trains `cells` on the slots of `executor`. `run` returns when all have ended or a stop was requested."""

    def __init__(
        self,
        store: Store,
        cells: Sequence[Cell],
        executor: Executor,
        *,
        options: Options,
        view: View,
        admission: Admission | None = None,
        sinks: Feeds | None = None,
        prune: Prune = lambda _cell, _epochs: None,
    ) -> None:
        self._store, self._executor, self._options, self._view = store, executor, options, view
        self._wanted = {cell.id for cell in cells}
        self._queue = CellQueue(cells)
        self._retries = Retries(options.run.retries)
        self._admission = admission or Admission()
        self._sinks = sinks or Feeds(RunSettings())
        self._prune = prune
        self._clock = AwakeClock()
        self._leases = leases.LeaseMonitor()
        self._inbox: Inbox = queue.SimpleQueue()
        self._states = SlotStates()
        self._ends: deque[WorkerEvent] = deque()
        self._failed_starts: Counter[int] = Counter()
        self._first_slot = 0
        self._failures = 0
        self._warned: set[str] = set()
        self._stop: Reason | None = None
        self._signals = 0
        self._commit = commit()
        self.outcome = Outcome()

    def request_stop(self, reason: Reason) -> None:
        """Request a clean stop; a second signal stops at once. Safe to call from a signal handler."""
        self._signals += reason == "signal"
        self._stop = self._stop or reason
        self._inbox.put(None)

    def run(self) -> Outcome:
        """Train every cell that is not done. Raises StoreError if the database cannot be written."""
        started = renewed = reclaimed = time.monotonic()
        stop_sent = False
        try:
            leases.release(
                self._store, self._wanted, say=self._view.message, should_stop=lambda: self._stop is not None
            )
            while True:
                now = time.monotonic()
                if self._options.run.time_limit is not None and now - started >= self._options.run.time_limit:
                    self.request_stop("time limit")
                if self._stop is not None and not stop_sent:
                    stop_sent = True
                    self._view.message(self._stopping(self._stop))
                    self._states.send_stop()
                if self._signals > 1:
                    self._abandon_all()
                until = time.monotonic() + _WORK_SECONDS
                self._handle_ends(until)
                all_filled = self._stop is not None or (not self._ends and self._fill_slots(until))
                if not self._has_work():
                    break
                self._receive(_RECEIVE_SECONDS if all_filled and not self._ends else 0.0)
                self._end_hung()
                if now - renewed >= _LEASE_SECONDS:
                    self._renew_leases()
                    renewed = now
                if now - reclaimed >= _RECLAIM_SECONDS and self._stop is None:
                    self._queue.reclaim(self._store, self._leases.is_stale)
                    reclaimed = now
                self._report_sinks()
                self._view.tick()
        finally:
            self._states.close()
            self._sinks.close(at_once=lambda: self._signals > 1)
            self._report_sinks()
        self.outcome.failed_sinks = self._sinks.faults
        self.outcome.reason = self._stop or "finished"
        self.outcome.in_other_runs = len(self._queue.in_other_runs)
        return self.outcome

    def _report_sinks(self) -> None:
        for fault in self._sinks.new_faults():
            self._view.message(f"warning: {fault}")

    def _has_work(self) -> bool:
        if any(state.assignment for state in self._states.values()):
            return True
        return self._stop is None and (bool(self._queue) or any(state.reserved for state in self._states.values()))

    # Starting cells

    def _fill_slots(self, until: float) -> bool:
        """Start what may start; False if some slots must wait for the next call, which starts with them."""
        for text in self._executor.notices():
            self._view.message(text)
        slots = self._executor.slots
        for position in range(self._first_slot, self._first_slot + len(slots)):
            slot = slots[position % len(slots)]
            state = self._states.get(slot.number)
            if state is None:
                self._start(slot)
            elif state.provenance is not None and state.assignment is None:
                self._assign(state, state.provenance)
            else:
                continue
            if time.monotonic() >= until:
                self._first_slot = (position + 1) % len(slots)
                return False
        return True

    def _start(self, slot: Slot) -> None:
        """Start a worker for the next cell that may start there, and reserve the cell: a start takes seconds."""
        if self._failed_starts[slot.number] >= _STARTS or (cell := self._next(slot)) is None:
            return
        worker = self._executor.start(slot, self._inbox)
        self._states[slot.number] = SlotState(worker, reserved=cell, silent_since=self._clock.now)

    def _next(self, slot: Slot) -> Cell | None:
        on = cache(self._states.cells_on)  # needed only if a cell waits, and the same for all of them
        return self._queue.take(
            time.monotonic(), lambda cell: self._admission.may_start(cell, slot.memory, on(slot.memory))
        )

    def _assign(self, state: SlotState, provenance: Provenance) -> None:
        """Give an idle worker its cell. If there is none for it now, stop it to free its memory."""
        worker, say = state.worker, self._view.message
        while cell := state.reserved or self._next(worker.slot):
            state.reserved = None
            held = assign(self._store, cell, worker.slot, provenance=provenance, options=self._options, say=say)
            if held is None:
                self._leave_to_other_run(cell)
                continue
            state.assignment, state.silent_since = held, self._clock.now
            self._warn_of_precision(cell, worker.slot, provenance)
            self._states.count_neighbours(worker.slot.memory)
            worker.send(held.command(worker.slot, self._options))
            return
        self._drop(state)

    def _warn_of_precision(self, cell: Cell, slot: Slot, provenance: Provenance) -> None:
        """Report once if a precision makes training slower on this processor."""
        text = without_bf16(cell.precision, slot.device, str(provenance.hardware.get("instruction_sets", "")))
        if text is not None and text not in self._warned:
            self._warned.add(text)
            self._view.message(text)

    def _leave_to_other_run(self, cell: Cell) -> None:
        """Keep a cell that another run is training in the queue: that run may stop or die.

        A cell that was discarded since this run started leaves the queue.
        """
        if self._store.discards(cell_ids=[cell.id]):
            self._view.message(f"{cell.label} ({cell.short}): was discarded meanwhile, and is not trained")
            return
        current = self._store.states([cell.id])[cell.id]
        if current is not None and current.state == "running":
            self._queue.in_other_runs.append(cell)
            other = f"pid {current.pid} on {current.host}"
            self._view.message(f"{cell.label} ({cell.short}): is being trained by another run ({other})")

    # Events of workers

    def _receive(self, timeout: float) -> None:
        """Handle every event sent so far. Epochs of several slots share a commit; ends are left to `_handle_ends`."""
        try:
            events = [self._inbox.get(timeout=timeout)]
        except queue.Empty:
            return
        time.sleep(_GATHER_SECONDS)
        while not self._inbox.empty():
            events.append(self._inbox.get())
        for item in filter(None, events):
            state, event = self._states.of(item.worker), item.event
            if state is None:
                continue
            state.received_event(self._clock.now)
            if event is None or isinstance(event, Ended):
                self._ends.append(item)
                if event is None or state.concerns(event):
                    state.silent_since = None  # its last event
            else:
                self._handle(state, event)
        self._write_epochs()

    def _handle(self, state: SlotState, event: AnyEvent) -> None:
        if isinstance(event, Ready):
            state.worker.ready = True
            state.silent_since = None  # an idle worker sends nothing
            state.provenance = Provenance(*self._commit, event.versions, event.hardware)
        if (held := state.assignment) is None or not state.concerns(event):
            return
        slot, cell = state.worker.slot, held.cell
        match event:
            case Resumed():
                held.rows += event.history
                done = len(event.history)
                self._view.began(slot, cell, epochs_done=done, batch=event.batch, bit_exact=event.bit_exact)
                self._finished_epochs(state, event.history)
            case Progressed():
                self._view.progressed(slot, cell, event)
            case FinishedEpoch():
                held.rows.append(event.metrics)
                self._admission.measured(cell, event.metrics.peak_memory_bytes)
                self._view.finished_epoch(slot, cell, event.metrics)
                self._finished_epochs(state, [event.metrics])
            case Aligned():
                held.layers += event.rows
            case Warned():
                self._view.message(event.message)

    def _finished_epochs(self, state: SlotState, epochs: Sequence[EpochMetrics]) -> None:
        """Stop a cell that is pruned after these epochs. It may reach its end before it gets the command."""
        held = state.assignment
        assert held is not None
        held.epochs += epochs
        if epochs and held.pruned is None and (reason := self._prune(held.cell, held.epochs)) is not None:
            held.pruned = reason
            state.worker.send(Stop(attempt=held.claim.attempt_id))

    def _handle_ends(self, until: float) -> None:
        while self._ends:
            item = self._ends.popleft()
            if (state := self._states.of(item.worker)) is not None:
                if item.event is None:
                    cause = state.worker.cause_of_end()
                    self._worker_ended(state, cause.how, cause.text)
                elif isinstance(item.event, Ended) and state.concerns(item.event):
                    self._attempt_ended(state, item.event)
            if time.monotonic() >= until:
                return

    def _attempt_ended(self, state: SlotState, end: Ended) -> None:
        if end.state in ("failed", "out_of_memory"):
            self._ended_badly(state, end.state, end)
        else:
            self._finish(state, end)

    def _end_hung(self) -> None:
        """Kill workers that were silent for too long; their cells are retried as after any kill."""
        self._clock.tick()
        limit = self._options.run.hang_seconds
        for state in self._states.silent(self._clock.now, seconds=limit, start_seconds=_START_SECONDS):
            state.worker.kill()
            self._worker_ended(state, "hung", "the worker sent nothing for too long (--hang-after) and was killed")

    def _worker_ended(self, state: SlotState, fault: Fault, cause: str) -> None:
        """A worker died or was killed while it trained, started or was idle."""
        is_starting = state.reserved is not None
        error = f"{cause}{' before it was ready' if is_starting else ''}\n{state.worker.log_tail()}".strip()
        if state.assignment is not None:
            self._ended_badly(state, fault, _end(state, "failed", error))
            return
        self._drop(state)
        if is_starting:
            self._count_failed_start(state.worker.slot, error)

    def _ended_badly(self, state: SlotState, fault: Fault, end: Ended) -> None:
        """Record a bad end, and queue the cell again if it has a retry."""
        held, retry = state.assignment, None
        assert held is not None
        if self._stop is None and not end.lasting:
            retry = self._retries.after(held.cell.id, fault, neighbours=held.neighbours)
        recorded = state_after(fault, is_resumed=retry is not None or self._stop is not None)
        if self._finish(state, end.model_copy(update={"state": recorded}), retry=retry) and retry is not None:
            if retry.neighbours is not None:
                self._admission.limit(held.cell, retry.neighbours)
            self._queue.defer(held.cell, until=time.monotonic() + retry.wait)
        # The failure may have changed the worker's memory and process-wide state: the next cell needs a new worker.
        self._drop(state)

    def _count_failed_start(self, slot: Slot, cause: str) -> None:
        """Count a worker that died while it started. Raises WorkerError if no slot is left to try."""
        self._failed_starts[slot.number] += 1
        self._view.message(f"slot {slot.name}: {cause}")
        slots = self._executor.slots
        if slots and all(self._failed_starts[slot.number] >= _STARTS for slot in slots):
            raise WorkerError(
                f"no worker can be started here ({_STARTS} tries on each slot): {cause}\n"
                "`asapbench doctor` checks this installation"
            )

    # Writing

    def _write_epochs(self) -> None:
        pending = [(state, held, held.rows) for state, held in self._states.training() if held.rows]
        refused = self._states.write_epochs(self._store)
        for state, held, rows in pending:
            if all(state is not other for other, _ in refused):
                self._sinks.wrote(held.cell, held.claim.lineage, rows)
        for state, error in refused:
            if isinstance(error, EpochConflictError):
                self._finish(state, _end(state, "failed", str(error)))
                self._drop(state)
            else:
                self._lost(state, str(error))

    def _finish(self, state: SlotState, end: Ended, *, retry: Retry | None = None) -> bool:
        """Record the end; False if another run has the cell by now."""
        held, worker = state.assignment, state.worker
        assert held is not None
        try:
            self._store.finish(
                held.claim,
                end.state,
                error=end.error,
                log_tail=None if end.error is None else worker.log_tail(),
                bit_exact=end.bit_exact,
                weights_path=None if held.weights is None or end.weights_digest is None else str(held.weights),
                weights_digest=end.weights_digest,
            )
        except AttemptLostError as lost:
            self._lost(state, str(lost))
            return False
        state.assignment = state.silent_since = None
        self._sinks.ended(held.cell, held.claim.lineage, end.state)
        if held.pruned is not None and end.state in ("interrupted", *FINAL):
            self._store.discard([held.cell.id], held.pruned)
            self._view.ended(worker.slot, held.cell, "pruned", held.pruned, retry=None)
            self.outcome.ended["pruned"] += 1
            return True
        self._view.ended(worker.slot, held.cell, end.state, end.error, retry=None if retry is None else retry.text)
        if retry is None:
            self._count(end.state)
        return True

    def _count(self, end: EndState) -> None:
        """Count a cell that has ended for good in this run."""
        self.outcome.ended[end] += 1
        self._failures += end in ("failed", "out_of_memory")
        most = self._options.run.failure_limit
        if most is not None and self._failures >= most:
            self.request_stop("failures")

    def _renew_leases(self) -> None:
        for state, cell in self._states.renew_leases(self._store):
            self._lost(state, f"{cell.label} ({cell.short}): another run has taken this cell over")

    def _lost(self, state: SlotState, message: str) -> None:
        """Stop training a cell that another run has taken over. That run may die, too."""
        self._view.message(message)
        if state.assignment is not None:
            self._queue.in_other_runs.append(state.assignment.cell)
            state.assignment = None
        self._drop(state)

    # Stopping

    def _stopping(self, reason: Reason) -> str:
        """What happens now, where it continues, and what a second signal does."""
        number = len(self._states.training())
        if not number:
            return f"Stopping ({reason}): no cell is in training"
        who = (
            "1 cell finishes its step and writes a checkpoint"
            if number == 1
            else (f"{number} cells finish their step and write a checkpoint")
        )
        again = "Ctrl-C again stops at once, and `resume` continues from the checkpoint before"
        return f"Stopping ({reason}): {who}, where `resume` continues. {again}."

    def _drop(self, state: SlotState) -> None:
        """End a worker and wait for its end: its successor must find the device's memory free."""
        state.worker.kill()
        state.worker.close()
        state.silent_since = None
        if state.reserved is not None:
            self._queue.return_to_front(state.reserved)
            state.reserved = None
        if self._states.of(state.worker) is state:
            del self._states[state.worker.slot.number]

    def _abandon_all(self) -> None:
        """Kill all workers after a second signal; their last checkpoints and the ends received so far are kept."""
        self._handle_ends(math.inf)
        for state, _ in self._states.training():
            state.worker.kill()
            self._finish(state, _end(state, "interrupted", "stopped at once by a second signal"))


def _end(state: SlotState, recorded: EndState, error: str) -> Ended:
    """The end of the attempt of a slot whose worker does not send one."""
    assert state.assignment is not None
    return Ended(attempt=state.assignment.claim.attempt_id, state=recorded, error=error)
