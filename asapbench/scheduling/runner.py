"""The runner: gives cells to slots, hears their workers, and is the one writer of the database.

One cell's end never ends the run. A stop (time limit, signal, fail-fast) lets every worker finish its step and write
a checkpoint; whatever then happens, `resume` goes on from there.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from asapbench.errors import AttemptLostError, EpochConflictError, StoreError, WorkerError
from asapbench.metrics import Alignment, EpochMetrics
from asapbench.scheduling import leases
from asapbench.scheduling.executor import Executor, Heard, Inbox, Worker
from asapbench.scheduling.files import Files
from asapbench.scheduling.hardware import commit
from asapbench.scheduling.protocol import Aligned, Ended, FinishedEpoch, Progressed, Ready, Resumed, Stop, Train, Warned
from asapbench.scheduling.slots import Slot
from asapbench.store import Claim, EndState, Holder, Provenance
from asapbench.store.records import FINAL, Measured
from asapbench.store.store import Store
from asapbench.suite.cell import Cell

Reason = Literal["finished", "time limit", "signal", "fail-fast"]

_LEASE_SECONDS = 10.0
_HEAR_SECONDS = 0.4
_LOOK_SECONDS = 3.0
_CRASHES = 2
"""How often a cell whose worker was killed is tried again in the same run."""
_STARTS = 3
"""How often a slot's worker may die before it is ready; then the slot is given up."""


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a result."""

    data: Path
    files: Files
    checkpoint_seconds: float = 120.0
    keep_weights: bool = False
    alignment: bool = False
    deterministic: bool = True
    fail_fast: bool = False
    time_limit: float | None = None


@dataclass
class Outcome:
    """Why the run ended, and how many of its cells ended in each state."""

    reason: Reason = "finished"
    ended: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0


class View(Protocol):
    """What is shown of a run."""

    def began(self, slot: Slot, cell: Cell, *, epochs_done: int, batch: int, bit_exact: bool) -> None:
        """A cell trains on a slot, after `epochs_done` epochs and `batch` batches."""

    def progressed(self, slot: Slot, cell: Cell, event: Progressed) -> None:
        """A sign of life."""

    def finished_epoch(self, slot: Slot, cell: Cell, metrics: EpochMetrics) -> None:
        """An epoch is in the database."""

    def ended(self, slot: Slot, cell: Cell, state: str, error: str | None) -> None:
        """An attempt ended."""

    def message(self, text: str) -> None:
        """Something to know."""

    def tick(self) -> None:
        """Called at least twice a second."""


@dataclass
class _Assignment:
    cell: Cell
    claim: Claim
    weights: Path | None
    rows: list[EpochMetrics] = field(default_factory=list)
    angles: list[Alignment] = field(default_factory=list)

    def forget(self) -> None:
        """Nothing is left to write."""
        self.rows, self.angles = [], []


class Runner:
    """Trains `cells` on the slots of `executor`. `run` returns when all have ended or it was asked to stop."""

    def __init__(
        self, store: Store, cells: Sequence[Cell], executor: Executor, *, options: Options, view: View
    ) -> None:
        self._store, self._executor, self._options, self._view = store, executor, options, view
        self._queue = deque(cells)
        self._elsewhere: list[Cell] = []
        self._inbox: Inbox = queue.SimpleQueue()
        self._workers: dict[int, Worker] = {}
        self._assigned: dict[Worker, _Assignment] = {}
        self._provenance: dict[Worker, Provenance] = {}
        self._crashes: Counter[str] = Counter()
        self._failed_starts: Counter[int] = Counter()
        self._stop: Reason | None = None
        self._signals = 0
        self._abandon = False
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
        wanted = {cell.id for cell in self._queue}
        leases.release(self._store, wanted, say=self._view.message, should_stop=lambda: self._stop is not None)
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
                if self._stop is None:
                    self._fill_slots()
                if not self._workers_busy():
                    break
                self._hear()
                if now - leased >= _LEASE_SECONDS:
                    self._renew_leases()
                    leased = now
                if now - looked >= _LOOK_SECONDS and self._stop is None:
                    self._take_up_again()
                    looked = now
                self._view.tick()
        finally:
            self._close()
        self.outcome.reason, self.outcome.elsewhere = self._stop or "finished", len(self._elsewhere)
        return self.outcome

    # Giving out cells

    def _workers_busy(self) -> bool:
        left = self._queue or self._elsewhere
        return bool(self._assigned) or (self._stop is None and bool(left))

    def _fill_slots(self) -> None:
        for text in self._executor.news():
            self._view.message(text)
        for slot in self._executor.slots:
            if self._failed_starts[slot.number] >= _STARTS:
                continue
            worker = self._workers.get(slot.number)
            idle = worker is None or (worker.ready and worker not in self._assigned)
            if not idle:
                continue
            starting = sum(not other.ready for other in self._workers.values())
            if worker is None and len(self._queue) > starting:
                self._workers[slot.number] = self._executor.start(slot, self._inbox)
            elif worker is not None:
                self._assign(worker)

    def _assign(self, worker: Worker) -> None:
        while self._queue:
            cell = self._queue.popleft()
            claim = self._claim(cell, worker)
            if claim is None:
                self._leave(cell)
                continue
            files = self._options.files
            weights = files.weights(cell.id, claim.attempt_id) if self._options.keep_weights else None
            self._assigned[worker] = _Assignment(cell, claim, weights)
            worker.tell(
                Train(
                    attempt=claim.attempt_id,
                    cell=cell.to_json(),
                    directory=str(files.checkpoints(cell.id, claim.attempt_id)),
                    previous=[str(files.checkpoints(cell.id, attempt)) for attempt in claim.previous],
                    data=str(self._options.data),
                    device=worker.slot.device,
                    threads=worker.slot.threads,
                    deterministic=self._options.deterministic,
                    checkpoint_seconds=self._options.checkpoint_seconds,
                    alignment=self._options.alignment,
                    weights=None if weights is None else str(weights),
                )
            )
            return

    def _claim(self, cell: Cell, worker: Worker) -> Claim | None:
        """A claim that goes on where a checkpoint is left, and begins anew where none is."""
        lineage = self._lineage(cell)
        anew = bool(lineage) and not self._options.files.has_checkpoint(cell.id, lineage)
        if anew and any(attempt.epochs_done for attempt in self._store.attempts(cell.id) if attempt.id in lineage):
            self._view.message(f"{cell.label}: no checkpoint is left of its earlier attempt; it begins anew")
        return self._store.claim(
            cell,
            holder=Holder.of_this_process(),
            provenance=self._provenance[worker],
            device=worker.slot.name,
            anew=anew,
        )

    def _lineage(self, cell: Cell) -> list[str]:
        current = self._store.states([cell.id])[cell.id]
        if current is None or current.state in (*FINAL, "running"):
            return []
        return [attempt.id for attempt in self._store.attempts(cell.id) if attempt.lineage == current.lineage]

    def _leave(self, cell: Cell) -> None:
        """A cell that another run is training is looked at again later: that run may stop, or die."""
        current = self._store.states([cell.id])[cell.id]
        if current is not None and current.state == "running":
            self._elsewhere.append(cell)
            self._view.message(f"{cell.label}: is being trained by another run (pid {current.pid} on {current.host})")

    def _take_up_again(self) -> None:
        """Takes back what other runs have left undone; waits for the rest."""
        if not self._elsewhere:
            return
        self._store.release_dead()
        states = self._store.states([cell.id for cell in self._elsewhere])
        running = {cell_id for cell_id, current in states.items() if current and current.state == "running"}
        done = {cell_id for cell_id, current in states.items() if current and current.state in FINAL}
        self._queue.extend(cell for cell in self._elsewhere if cell.id not in running | done)
        self._elsewhere = [cell for cell in self._elsewhere if cell.id in running]

    # Hearing workers

    def _hear(self) -> None:
        """Everything the workers have said by now; epochs of several slots share a commit."""
        try:
            heard = [self._inbox.get(timeout=_HEAR_SECONDS)]
        except queue.Empty:
            return
        while not self._inbox.empty():
            heard.append(self._inbox.get())
        for item in heard:
            self._handle(item)
        self._write_epochs()

    def _handle(self, heard: Heard) -> None:
        worker, event = heard.worker, heard.event
        if isinstance(event, Ready):
            worker.ready = True
            self._provenance[worker] = Provenance(*self._commit, event.versions, event.hardware)
            return
        if event is None:
            self._worker_ended(worker)
            return
        assignment = self._assigned.get(worker)
        if assignment is None or event.attempt != assignment.claim.attempt_id:
            return
        slot, cell = worker.slot, assignment.cell
        if isinstance(event, Resumed):
            assignment.rows += event.history
            done = len(event.history)
            self._view.began(slot, cell, epochs_done=done, batch=event.batch, bit_exact=event.bit_exact)
        elif isinstance(event, Progressed):
            self._view.progressed(slot, cell, event)
        elif isinstance(event, FinishedEpoch):
            assignment.rows.append(event.metrics)
            self._view.finished_epoch(slot, cell, event.metrics)
        elif isinstance(event, Aligned):
            assignment.angles += event.rows
        elif isinstance(event, Warned):
            self._view.message(event.message)
        elif isinstance(event, Ended):
            self._attempt_ended(worker, event)

    def _attempt_ended(self, worker: Worker, event: Ended) -> None:
        self._write_epochs()
        if worker not in self._assigned:
            return
        self._finish(
            worker,
            event.state,
            error=event.error,
            log_tail=None if event.error is None else worker.log_tail(),
            bit_exact=event.bit_exact,
            weights_digest=event.weights_digest,
        )
        if event.state in ("failed", "out_of_memory"):
            # Its memory and its process-wide state are not to be trusted with the next cell.
            self._drop(worker)

    def _worker_ended(self, worker: Worker) -> None:
        if self._workers.get(worker.slot.number) is not worker:
            return
        cause, killed = worker.cause_of_end()
        tail = worker.log_tail()
        del self._workers[worker.slot.number]
        if not worker.ready:
            self._start_failed(worker, f"{cause} before it was ready\n{tail}".strip())
            return
        assignment = self._assigned.get(worker)
        self._write_epochs()
        if assignment is None or worker not in self._assigned:
            return
        self._crashes[assignment.cell.id] += 1
        again = killed and self._crashes[assignment.cell.id] <= _CRASHES
        state: EndState = "interrupted" if killed and (again or self._stop is not None) else "failed"
        recorded = self._finish(worker, state, error=f"{cause}\n{tail}".strip(), log_tail=tail)
        if recorded and again and self._stop is None:
            self.outcome.ended[state] -= 1  # it has not ended: it goes on, in another worker
            self._queue.appendleft(assignment.cell)

    def _start_failed(self, worker: Worker, cause: str) -> None:
        """A slot's worker died while it started. Raises WorkerError when no slot is left to try."""
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
        except StoreError:
            for worker, held in pending:
                self._write_epochs_of(worker, held)

    def _write_epochs_of(self, worker: Worker, held: _Assignment) -> None:
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
        self.outcome.ended[state] += 1
        self._view.ended(worker.slot, assignment.cell, state, error)
        if state in ("failed", "out_of_memory") and self._options.fail_fast:
            self.request_stop("fail-fast")
        return True

    def _renew_leases(self) -> None:
        held = {worker: assignment.claim for worker, assignment in self._assigned.items()}
        lost = self._store.heartbeat(list(held.values()))
        for worker, claim in held.items():
            if any(claim is other for other in lost):
                self._lost(worker, f"{self._assigned[worker].cell.label}: another run has taken this cell over")

    def _lost(self, worker: Worker, message: str) -> None:
        """Somebody else has the cell: this run's worker must not go on with it."""
        self._view.message(message)
        self._assigned.pop(worker, None)
        self._drop(worker)

    # Ending

    def _drop(self, worker: Worker) -> None:
        """Ends a worker and waits for it: its successor must find the device's memory free."""
        worker.kill()
        worker.close()
        if self._workers.get(worker.slot.number) is worker:
            del self._workers[worker.slot.number]

    def _tell_to_stop(self) -> None:
        for worker in list(self._workers.values()):
            if worker in self._assigned:
                worker.tell(Stop())

    def _abandon_all(self) -> None:
        """The second signal: workers are killed; their last checkpoints stand."""
        for worker in list(self._assigned):
            worker.kill()
            self._write_epochs()
            if worker in self._assigned:
                self._finish(worker, "interrupted", error="stopped at once by a second signal")

    def _close(self) -> None:
        for worker in self._workers.values():
            if worker in self._assigned or not worker.ready:
                worker.kill()
        for worker in self._workers.values():
            worker.close()
