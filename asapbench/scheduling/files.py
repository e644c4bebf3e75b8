"""Where a database keeps its cells' checkpoints, kept weights and logs: beside it, in `<database>.files/`."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asapbench.training import CHECKPOINT_SUFFIX


@dataclass(frozen=True)
class Files:
    """`checkpoints/CELL/ATTEMPT/`, `weights/CELL-ATTEMPT.weights`, `logs/`: identities are hexadecimal, safe."""

    root: Path

    @classmethod
    def beside(cls, database: Path) -> Files:
        """The files of a SQLite database."""
        return cls(database.with_name(f"{database.name}.files"))

    def checkpoints(self, cell_id: str, attempt_id: str) -> Path:
        """The directory of one attempt's checkpoints; no other attempt writes there."""
        return self.root / "checkpoints" / cell_id[:20] / attempt_id

    def has_checkpoint(self, cell_id: str, attempt_ids: Iterable[str]) -> bool:
        """Whether one of these attempts left a checkpoint."""
        return any(any(self.checkpoints(cell_id, attempt).glob(f"*{CHECKPOINT_SUFFIX}")) for attempt in attempt_ids)

    def weights(self, cell_id: str, attempt_id: str) -> Path:
        """Where an attempt's final weights are kept."""
        return self.root / "weights" / f"{cell_id[:20]}-{attempt_id[:12]}.weights"

    def log(self, number: int) -> Path:
        """What the worker on slot `number` of this process's run prints."""
        path = self.root / "logs" / f"{os.getpid()}-{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def mark(self) -> Path:
        """A path of this run alone, gone with its logs: who sees the file there sees this folder."""
        return self.root / "logs" / f"{os.getpid()}-{uuid.uuid4().hex}.log"

    def remove_logs(self) -> None:
        """Removes this run's logs: what matters of them is in the database."""
        for path in (self.root / "logs").glob(f"{os.getpid()}-*.log"):
            path.unlink()

    def cells_with_checkpoints(self) -> list[Path]:
        """One directory a cell; its name is the beginning of the cell's identity."""
        folder = self.root / "checkpoints"
        return sorted(folder.iterdir()) if folder.is_dir() else []


def size(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(folder: Path) -> None:
    """Deletes `folder` and all below it."""
    shutil.rmtree(folder)
