"""One cell given to one worker: how to train it, the claim to it, and what of it is not written yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.running.settings import RunSettings
from asapbench.store import Attempt, Claim, OwnerProcess, Provenance
from asapbench.store.records import FINAL
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.training.settings import TrainingSettings
from asapbench.worker.files import Files
from asapbench.worker.protocol import Train


@dataclass(frozen=True)
class Options:
    """How to run and train, and where things are."""

    data: Path
    files: Files
    run: RunSettings = field(default_factory=RunSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)


@dataclass
class Assignment:
    """`weights` is where the final weights are kept, None where they are not. `rows` and `layers` are unwritten;
    `neighbours` is how many cells it has had beside it on its device at most. `epochs` are all that it has finished;
    `pruned` says why it ends before the others, None where it does not.
    """

    cell: Cell
    claim: Claim
    weights: Path | None
    neighbours: int = 0
    rows: list[EpochMetrics] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    epochs: list[EpochMetrics] = field(default_factory=list)
    pruned: str | None = None

    def forget(self) -> None:
        """Nothing is left to write."""
        self.rows, self.layers = [], []

    def command(self, slot: Slot, options: Options) -> Train:
        """The command for the worker on `slot`."""
        cell, claim, files = self.cell, self.claim, options.files
        return Train(
            attempt=claim.attempt_id,
            cell=cell.to_json(places=True),
            directory=str(files.checkpoints(cell.id, claim.attempt_id)),
            previous=[str(files.checkpoints(cell.id, attempt)) for attempt in claim.previous],
            data=str(options.data),
            settings=options.training.on(slot),
            weights=None if self.weights is None else str(self.weights),
        )


def assign(
    store: Store, cell: Cell, slot: Slot, *, provenance: Provenance, options: Options, say: Callable[[str], None]
) -> Assignment | None:
    """Claims the cell: it resumes a checkpoint if there is one. None if another run has the cell.

    `provenance` is the worker's; the options of the cell's training are added.
    """
    stopped = _stopped(store, cell)
    before = _attempt_to_resume(stopped, options.files)
    if before is None and any(attempt.epochs_done for attempt in stopped):
        say(f"{cell.label} ({cell.short}): no checkpoint is left of its earlier attempt; it starts from scratch")
    elif before is not None and before.lineage != stopped[-1].lineage:
        gone = f"no checkpoint of attempt {stopped[-1].number} is here"
        say(f"{cell.label} ({cell.short}): {gone}; it resumes from attempt {before.number}")
    recorded = options.training.recorded(cell, slot.kind)
    claim = store.claim(
        cell,
        owner=OwnerProcess.of_this_process(),
        provenance=replace(provenance, hardware=provenance.hardware | {"options": recorded}),
        device=slot.name,
        from_scratch=bool(stopped) and before is None,
        lineage=None if before is None else before.lineage,
    )
    if claim is None:
        return None
    weights = options.files.weights(cell.id, claim.attempt_id) if options.training.keep_weights else None
    return Assignment(cell, claim, weights)


def _stopped(store: Store, cell: Cell) -> list[Attempt]:
    """The valid attempts, oldest first, of a cell that has no result and is not running; else none."""
    valid = [attempt for attempt in store.attempts(cell.id) if not attempt.superseded]
    return [] if any(attempt.state in (*FINAL, "running") for attempt in valid) else valid


def _attempt_to_resume(stopped: Sequence[Attempt], files: Files) -> Attempt | None:
    """Of the attempts that left a checkpoint here, one of the newest lineage, else the one that came furthest.

    The newest lineage may have been trained on another machine, and merged into this database without its checkpoints.
    """
    here = [attempt for attempt in stopped if files.has_checkpoint(attempt.cell_id, attempt.id)]
    return max(here, key=lambda a: (a.lineage == stopped[-1].lineage, a.epochs_done, a.number), default=None)
