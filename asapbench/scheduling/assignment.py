"""One cell given to one worker: how to train it, the claim to it, and what of it is not written yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from asapbench.metrics import Alignment, EpochMetrics
from asapbench.scheduling.files import Files
from asapbench.scheduling.protocol import Train
from asapbench.scheduling.slots import Slot
from asapbench.store import Claim, Holder, Provenance
from asapbench.store.records import FINAL
from asapbench.store.store import Store
from asapbench.suite.cell import Cell


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a result."""

    data: Path
    files: Files
    checkpoint_seconds: float = 120.0
    keep_weights: bool = False
    alignment: bool = False
    deterministic: bool = True
    retries: int = 1
    max_failures: int | None = None
    hang_seconds: float = 600.0
    time_limit: float | None = None


@dataclass
class Assignment:
    """`weights` is where the final weights are kept, None where they are not. `rows` and `angles` are unwritten;
    `neighbours` is how many cells it has had beside it on its device at most.
    """

    cell: Cell
    claim: Claim
    weights: Path | None
    neighbours: int = 0
    rows: list[EpochMetrics] = field(default_factory=list)
    angles: list[Alignment] = field(default_factory=list)

    def forget(self) -> None:
        """Nothing is left to write."""
        self.rows, self.angles = [], []

    def command(self, slot: Slot, options: Options) -> Train:
        """What the worker on `slot` is told."""
        cell, claim, files = self.cell, self.claim, options.files
        return Train(
            attempt=claim.attempt_id,
            cell=cell.to_json(),
            directory=str(files.checkpoints(cell.id, claim.attempt_id)),
            previous=[str(files.checkpoints(cell.id, attempt)) for attempt in claim.previous],
            data=str(options.data),
            device=slot.device,
            threads=slot.threads,
            deterministic=options.deterministic,
            checkpoint_seconds=options.checkpoint_seconds,
            alignment=options.alignment,
            weights=None if self.weights is None else str(self.weights),
        )


def assign(
    store: Store, cell: Cell, slot: Slot, *, provenance: Provenance, options: Options, say: Callable[[str], None]
) -> Assignment | None:
    """Claims the cell, going on where a checkpoint is left and anew where none is; None where somebody else has it."""
    lineage = _lineage(store, cell)
    anew = bool(lineage) and not options.files.has_checkpoint(cell.id, lineage)
    if anew and any(attempt.epochs_done for attempt in store.attempts(cell.id) if attempt.id in lineage):
        say(f"{cell.label}: no checkpoint is left of its earlier attempt; it begins anew")
    holder = Holder.of_this_process()
    claim = store.claim(cell, holder=holder, provenance=provenance, device=slot.name, anew=anew)
    if claim is None:
        return None
    return Assignment(cell, claim, options.files.weights(cell.id, claim.attempt_id) if options.keep_weights else None)


def _lineage(store: Store, cell: Cell) -> list[str]:
    current = store.states([cell.id])[cell.id]
    if current is None or current.state in (*FINAL, "running"):
        return []
    return [attempt.id for attempt in store.attempts(cell.id) if attempt.lineage == current.lineage]
