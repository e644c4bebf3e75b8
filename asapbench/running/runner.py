"""The runner: gives cells to slots, hears their workers, and is the one writer of the database.

One cell's end never ends the run. A stop (time limit, signal, failures) lets every worker finish its step and write a
checkpoint; whatever then happens, `resume` goes on from there.
"""

from __future__ import annotations

import math
import queue
import time
from collections import Counter, deque
from collections.abc import Sequence
from functools import cache

from asapbench.errors import AttemptLostError, EpochConflictError, WorkerError
from asapbench.machine.hardware import commit
from asapbench.machine.processor import without_bf16
from asapbench.machine.slots import Slot
from asapbench.running import leases
from asapbench.running.admission import Admission
from asapbench.running.assignment import Assignment, Options, assign
from asapbench.running.executor import Executor
from asapbench.running.liveness import Watch
from asapbench.running.retries import Again, Fault, Retries, state_after
from asapbench.running.view import Outcome, Reason, View
from asapbench.running.waiting import Waiting
from asapbench.store import EndState, Provenance
from asapbench.store.records import Measured
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
from asapbench.worker.supervision import Heard, Inbox, Worker

_LEASE_SECONDS = 10.0
_HEAR_SECONDS = 0.4
_GATHER_SECONDS = 0.02
"""How long events wait for others: with many slots they share a commit, and each look at all slots."""
_WORK_SECONDS = 0.2
"""How long ends and starts of cells, a commit each, keep the epochs of other cells from being written."""
_LOOK_SECONDS = 3.0
_START_SECONDS = 300.0
"""A worker that is not ready has at least so long: it imports torch, perhaps from a slow disk."""
_STARTS = 3
"""How often a slot's worker may die before it is ready; then the slot is given up."""


class Runner:
    """Trains `cells` on the slots of `executor`. `run` returns when all have ended or it was asked to stop."""

    def __init__(
        self,
        store: Store,
        cells: Sequence[Cell],
        executor: Executor,
        *,
        options: Options,
        view: View,
        admission: Admission | None = None,
    ) -> None:
        self._store, self._executor, self._options, self._view = store, executor, options, view
        self._wanted = {cell.id for cell in cells}
        self._waiting = Waiting(cells)
        self._retries = Retries(options.retries)
        self._admission = admission or Admission()
        self._watch: Watch[Worker] = Watch()
        self._leases = leases.Watch()
        self._inbox: Inbox = queue.SimpleQueue()
        self._workers: dict[int, Worker] = {}
        self._reserved: dict[Worker, Cell] = {}
        self._assigned: dict[Worker, Assignment] = {}
        self._provenance: dict[Worker, Provenance] = {}
        self._failed_starts: Counter[int] = Counter()
        self._first_slot = 0
        self._failures = 0
        self._warned: set[str] = set()
        self._stop: Reason | None = None
        self._signals = 0
        self._abandon = False
        self._ends: deque[Heard] = deque()
        self._commit = commit()
        self.outcome = Outcome()

    def request_stop(self, reason: Reason) -> None:
        """Asks for a clean end; the second time for an end at once. Safe to call from a signal handler."""
        self._signals += reason == "signal"
        self._abandon = self._abandon or self._signals > 1
        self._stop = self._stop or reason

    def run(self) -> Outcome:
        """Trains every cell that is not done. Raises StoreError where the database cannot be written."""
        started = leased = looked = time.monotonic()
        told_to_stop = False
        leases.release(self._store, self._wanted, say=self._view.message, should_stop=lambda: self._stop is not None)
        try:
            while True:
                now = time.monotonic()
                limit = self._options.time_limit
                if limit is not None and now - started >= limit:
                    self.request_stop("time limit")
                if self._stop is not None and not told_to_stop:
                    told_to_stop = True
                    self._tell_to_stop()
                if self._abandon:
                    self._abandon_all()
                until = time.monotonic() + _WORK_SECONDS
                self._handle_ends(until)
                filled = self._stop is not None or (not self._ends and self._fill_slots(until))
                if not self._workers_busy():
                    break
                self._hear(_HEAR_SECONDS if filled and not self._ends else 0.0)
                self._end_hung()
                if now - leased >= _LEASE_SECONDS:
                    self._renew_leases()
                    leased = now
                if now - looked >= _LOOK_SECONDS and self._stop is None:
                    self._waiting.look_elsewhere(self._store, self._leases.is_stale)
                    looked = now
                self._view.tick()
        finally:
            self._close()
        self.outcome.reason, self.outcome.elsewhere = self._stop or "finished", len(self._waiting.elsewhere)
        return self.outcome

    # Giving out cells

    def _workers_busy(self) -> bool:
        left = self._waiting or self._reserved
        return bool(self._assigned) or (self._stop is None and bool(left))

    def _fill_slots(self, until: float) -> bool:
        """Starts what may start; False where some slots have to wait for the next call, which begins with them."""
        for text in self._executor.news():
            self._view.message(text)
        slots = self._executor.slots
        for position in range(self._first_slot, self._first_slot + len(slots)):
            slot = slots[position % len(slots)]
            worker = self._workers.get(slot.number)
            if worker is None:
                self._start(slot)
            elif worker.ready and worker not in self._assigned:
                self._assign(worker)
            else:
                continue
            if time.monotonic() >= until:
                self._first_slot = (position + 1) % len(slots)
                return False
        return True

    def _start(self, slot: Slot) -> None:
        """A worker for the next cell that may start there, which is kept for it: it takes seconds to be ready."""
        if self._failed_starts[slot.number] >= _STARTS or (cell := self._next(slot)) is None:
            return
        worker = self._workers[slot.number] = self._executor.start(slot, self._inbox)
        self._reserved[worker] = cell
        self._watch.expect(worker)

    def _next(self, slot: Slot) -> Cell | None:
        on = cache(self._on)  # needed only where a cell waits, and the same for all of them
        return self._waiting.take(
            time.monotonic(), lambda cell: self._admission.may_start(cell, slot.memory, on(slot.memory))
        )

    def _on(self, memory: str) -> list[Cell]:
        """The cells that train, or are about to, in one device's memory."""
        cells = self._reserved | {worker: held.cell for worker, held in self._assigned.items()}
        return [cell for worker, cell in cells.items() if worker.slot.memory == memory]

    def _assign(self, worker: Worker) -> None:
        """Gives an idle worker its cell; ends it where there is none for it now: its memory is of use to others."""
        while cell := self._reserved.pop(worker, None) or self._next(worker.slot):
            provenance, say = self._provenance[worker], self._view.message
            held = assign(self._store, cell, worker.slot, provenance=provenance, options=self._options, say=say)
            if held is not None:
                self._assigned[worker] = held
                self._warn_of_precision(cell, worker)
                self._count_neighbours(worker.slot.memory)
                self._watch.expect(worker)
                worker.tell(held.command(worker.slot, self._options))
                return
            self._leave(cell)
        self._drop(worker)

    def _warn_of_precision(self, cell: Cell, worker: Worker) -> None:
        """Says once where a precision costs time instead of saving it."""
        instruction_sets = str(self._provenance[worker].hardware.get("instruction_sets", ""))
        text = without_bf16(cell.precision, worker.slot.device, instruction_sets)
        if text is not None and text not in self._warned:
            self._warned.add(text)
            self._view.message(text)

    def _count_neighbours(self, memory: str) -> None:
        together = [held for worker, held in self._assigned.items() if worker.slot.memory == memory]
        for held in together:
            held.neighbours = max(held.neighbours, len(together) - 1)

    def _leave(self, cell: Cell) -> None:
        """A cell that another run is training is looked at again later: that run may stop, or die."""
        current = self._store.states([cell.id])[cell.id]
        if current is not None and current.state == "running":
            self._waiting.elsewhere.append(cell)
            other = f"pid {current.pid} on {current.host}"
            self._view.message(f"{cell.label} ({cell.short}): is being trained by another run ({other})")

    # Hearing workers

    def _hear(self, timeout: float) -> None:
        """Everything the workers have said by now; epochs of several slots share a commit, and ends wait for it."""
        try:
            heard = [self._inbox.get(timeout=timeout)]
        except queue.Empty:
            return
        time.sleep(_GATHER_SECONDS)
        while not self._inbox.empty():
            heard.append(self._inbox.get())
        for item in heard:
            self._watch.heard(item.worker)
            if item.event is None or isinstance(item.event, Ended):
                self._ends.append(item)  # the last that this worker says of its cell
                if item.event is None or self._is_of_its_cell(item.worker, item.event):
                    self._watch.forget(item.worker)
            else:
                self._handle(item.worker, item.event)
        self._write_epochs()

    def _handle_ends(self, until: float) -> None:
        while self._ends:
            worker, event = (item := self._ends.popleft()).worker, item.event
            if event is None:
                self._worker_ended(worker)
            elif isinstance(event, Ended) and self._is_of_its_cell(worker, event):
                self._attempt_ended(worker, event)
            if time.monotonic() >= until:
                return

    def _is_of_its_cell(self, worker: Worker, event: AnyEvent) -> bool:
        """Not of one that the worker had before, or that was taken over."""
        assignment = self._assigned.get(worker)
        return assignment is not None and not isinstance(event, Ready) and event.attempt == assignment.claim.attempt_id

    def _handle(self, worker: Worker, event: AnyEvent) -> None:
        if isinstance(event, Ready):
            worker.ready = True
            self._watch.forget(worker)  # until it has a cell it has nothing to say
            self._provenance[worker] = Provenance(*self._commit, event.versions, event.hardware)
            return
        if not self._is_of_its_cell(worker, event):
            return
        assignment = self._assigned[worker]
        slot, cell = worker.slot, assignment.cell
        if isinstance(event, Resumed):
            assignment.rows += event.history
            done = len(event.history)
            self._view.began(slot, cell, epochs_done=done, batch=event.batch, bit_exact=event.bit_exact)
        elif isinstance(event, Progressed):
            self._view.progressed(slot, cell, event)
        elif isinstance(event, FinishedEpoch):
            assignment.rows.append(event.metrics)
            self._admission.measured(cell, event.metrics.peak_memory_bytes)
            self._view.finished_epoch(slot, cell, event.metrics)
        elif isinstance(event, Aligned):
            assignment.angles += event.rows
        elif isinstance(event, Warned):
            self._view.message(event.message)

    def _attempt_ended(self, worker: Worker, event: Ended) -> None:
        if event.state in ("failed", "out_of_memory"):
            fault: Fault = "failed" if event.state == "failed" else "out_of_memory"
            self._ended_badly(worker, fault, error=event.error or "", lasting=event.lasting, bit_exact=event.bit_exact)
            # Its memory and its process-wide state are not to be trusted with the next cell.
            self._drop(worker)
            return
        self._finish(
            worker,
            event.state,
            error=event.error,
            log_tail=None if event.error is None else worker.log_tail(),
            bit_exact=event.bit_exact,
            weights_digest=event.weights_digest,
        )

    def _worker_ended(self, worker: Worker) -> None:
        if self._workers.get(worker.slot.number) is not worker:
            return
        cause, tail = worker.cause_of_end(), worker.log_tail()
        if worker in self._reserved:
            self._start_failed(worker, f"{cause.text} before it was ready\n{tail}".strip())
            return
        if worker in self._assigned:
            self._ended_badly(worker, cause.how, error=f"{cause.text}\n{tail}".strip())
        self._drop(worker)

    def _end_hung(self) -> None:
        """Kills workers that have said nothing for too long; their cells are tried again as after any kill."""
        self._watch.tick()
        limit = self._options.hang_seconds
        silent = [worker for worker in self._watch.silent(limit) if worker.ready]
        silent += [worker for worker in self._watch.silent(max(limit, _START_SECONDS)) if not worker.ready]
        for worker in silent:
            worker.kill()
            error = f"the worker said nothing for too long (--hang-after) and was killed\n{worker.log_tail()}".strip()
            if worker in self._assigned:
                self._ended_badly(worker, "hung", error=error)
                self._drop(worker)
            else:
                self._start_failed(worker, error)

    def _ended_badly(
        self, worker: Worker, fault: Fault, *, error: str, lasting: bool = False, bit_exact: bool = True
    ) -> None:
        """Records a bad end; the cell waits for another try, if it has one."""
        cell, neighbours = self._assigned[worker].cell, self._assigned[worker].neighbours
        again: Again | None = None
        if self._stop is None and not lasting:
            again = self._retries.after(cell.id, fault, neighbours=neighbours)
        state = state_after(fault, goes_on=again is not None or self._stop is not None)
        if not self._finish(worker, state, error=error, log_tail=worker.log_tail(), bit_exact=bit_exact, again=again):
            return
        if again is not None:
            if again.neighbours is not None:
                self._admission.limit(cell, again.neighbours)
            self._waiting.put_off(cell, until=time.monotonic() + again.wait)

    def _start_failed(self, worker: Worker, cause: str) -> None:
        """A slot's worker died while it started. Raises WorkerError when no slot is left to try."""
        self._drop(worker)
        self._failed_starts[worker.slot.number] += 1
        self._view.message(f"slot {worker.slot.name}: {cause}")
        slots = self._executor.slots
        if slots and all(self._failed_starts[slot.number] >= _STARTS for slot in slots):
            raise WorkerError(
                f"no worker can be started here ({_STARTS} tries on each slot): {cause}\n"
                "`asapbench doctor` looks at this installation"
            )

    # Writing

    def _write_epochs(self) -> None:
        pending = [(worker, held) for worker, held in self._assigned.items() if held.rows or held.angles]
        if not pending:
            return
        try:
            self._store.record_many([Measured(held.claim, held.rows, held.angles) for _, held in pending])
            for _, held in pending:
                held.forget()
        except (AttemptLostError, EpochConflictError):
            for worker, held in pending:
                self._write_epochs_of(worker, held)

    def _write_epochs_of(self, worker: Worker, held: Assignment) -> None:
        """One cell's epochs on their own, after a shared commit told of a fault in one of several."""
        try:
            self._store.record_epochs(held.claim, held.rows, held.angles)
            held.forget()
        except AttemptLostError as error:
            self._lost(worker, str(error))
        except EpochConflictError as error:
            held.forget()
            self._finish(worker, "failed", error=str(error))
            self._drop(worker)

    def _finish(
        self,
        worker: Worker,
        state: EndState,
        *,
        error: str | None = None,
        log_tail: str | None = None,
        bit_exact: bool = True,
        weights_digest: str | None = None,
        again: Again | None = None,
    ) -> bool:
        """Records the end; False where somebody else has the cell by now."""
        assignment = self._assigned[worker]
        kept = assignment.weights if weights_digest is not None else None
        try:
            self._store.finish(
                assignment.claim,
                state,
                error=error,
                log_tail=log_tail,
                bit_exact=bit_exact,
                weights_path=None if kept is None else str(kept),
                weights_digest=weights_digest,
            )
        except AttemptLostError as lost:
            self._lost(worker, str(lost))
            return False
        del self._assigned[worker]
        self._watch.forget(worker)
        text = None if again is None else again.text
        self._view.ended(worker.slot, assignment.cell, state, error, again=text)
        if again is None:
            self._count(state)
        return True

    def _count(self, state: EndState) -> None:
        """A cell has ended for good, as far as this run goes."""
        self.outcome.ended[state] += 1
        self._failures += state in ("failed", "out_of_memory")
        most = self._options.max_failures
        if most is not None and self._failures >= most:
            self.request_stop("failures")

    def _renew_leases(self) -> None:
        held = {assignment.claim.attempt_id: worker for worker, assignment in self._assigned.items()}
        for claim in self._store.heartbeat([assignment.claim for assignment in self._assigned.values()]):
            worker = held[claim.attempt_id]
            cell = self._assigned[worker].cell
            self._lost(worker, f"{cell.label} ({cell.short}): another run has taken this cell over")

    def _lost(self, worker: Worker, message: str) -> None:
        """Somebody else has the cell: this run's worker must not go on with it. That run may die, too."""
        self._view.message(message)
        assignment = self._assigned.pop(worker, None)
        if assignment is not None:
            self._waiting.elsewhere.append(assignment.cell)
        self._drop(worker)

    # Ending

    def _drop(self, worker: Worker) -> None:
        """Ends a worker and waits for it: its successor must find the device's memory free."""
        worker.kill()
        worker.close()
        self._watch.forget(worker)
        self._provenance.pop(worker, None)
        if cell := self._reserved.pop(worker, None):
            self._waiting.put_back(cell)
        if self._workers.get(worker.slot.number) is worker:
            del self._workers[worker.slot.number]

    def _tell_to_stop(self) -> None:
        for worker in list(self._workers.values()):
            if worker in self._assigned:
                worker.tell(Stop())

    def _abandon_all(self) -> None:
        """The second signal: workers are killed; their last checkpoints stand, and so do the ends they have told."""
        self._handle_ends(math.inf)
        for worker in list(self._assigned):
            worker.kill()
            self._finish(worker, "interrupted", error="stopped at once by a second signal")

    def _close(self) -> None:
        for worker in self._workers.values():
            if worker in self._assigned or not worker.ready:
                worker.kill()
        for worker in self._workers.values():
            worker.close()
