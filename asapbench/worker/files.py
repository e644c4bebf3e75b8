"""Where a database's checkpoints, kept weights and logs are: beside a SQLite file, or in a folder that is named.

Runs on several hosts that share a PostgreSQL database share this folder too, to resume each other's cells.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from asapbench.errors import StoreError
from asapbench.paths import without_links
from asapbench.store.connect import file_of
from asapbench.store.rows import RESTORE_IT
from asapbench.store.store import Store
from asapbench.training import CHECKPOINT_SUFFIX

_TOKEN = uuid.uuid4().hex[:12]
"""Identifies this process: two containers may have the same host name and process numbers."""


@dataclass(frozen=True)
class Files:
    """`checkpoints/CELL/ATTEMPT/`, `weights/CELL-ATTEMPT.weights` and `logs/` below `root`.

    An identity becomes part of a path only if it is hexadecimal: a database may come from another person.
    """

    root: Path

    def make(self, cell_ids: Iterable[str] = (), *, weights: bool = False) -> None:
        """Makes the folders that a run of these cells writes to.

        Raises StoreError where that cannot be done, or nothing can be written in one of them.
        """
        folders = [folder for folder in self._folders() if weights or folder.name != "weights"]
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{folder} cannot be made: {error.strerror}; name another with --files") from error
            _require_usable(folder)
        # What earlier attempts left: a new one makes its folder beside theirs, and removes what it replaces there.
        for cell in filter(os.path.lexists, map(self._cell, cell_ids)):
            _require_usable(cell)
            for attempt in filter(os.path.isdir, cell.iterdir()):
                _require_usable(attempt)

    def unusable(self) -> list[Path]:
        """The folders of a run that exist, and that this user may not write to."""
        return [folder for folder in self._folders() if os.path.lexists(folder) and not _is_usable(folder)]

    def _folders(self) -> tuple[Path, ...]:
        return (self.root, *(self.root / name for name in ("logs", "checkpoints", "weights")))

    def checkpoints(self, cell_id: str, attempt_id: str) -> Path:
        """The directory of one attempt's checkpoints; no other attempt writes there."""
        return self._cell(cell_id) / _hexadecimal(attempt_id)

    def _cell(self, cell_id: str) -> Path:
        return self.root / "checkpoints" / _hexadecimal(cell_id[:20])

    def has_checkpoint(self, cell_id: str, attempt_id: str) -> bool:
        """Whether an attempt left a checkpoint here."""
        return any(self.checkpoints(cell_id, attempt_id).glob(f"*{CHECKPOINT_SUFFIX}"))

    def weights(self, cell_id: str, attempt_id: str) -> Path:
        """Where an attempt's final weights are kept."""
        return self.root / "weights" / f"{_hexadecimal(cell_id[:20])}-{_hexadecimal(attempt_id[:12])}.weights"

    def log(self, number: int) -> Path:
        """What the worker on slot `number` of this process's run prints."""
        return self.root / "logs" / f"{_this_process()}-{number}.log"

    def mark(self) -> Path:
        """A path of this run only, removed with its logs: a node that sees this file sees the folder."""
        return self.root / "logs" / f"{_this_process()}-{uuid.uuid4().hex}.log"

    def remove_logs(self) -> None:
        """Removes this run's logs: the database has the part that matters."""
        with contextlib.suppress(OSError):  # a log that stays does no harm
            for path in (self.root / "logs").glob(f"{_this_process()}-*.log"):
                path.unlink()


def _is_usable(folder: Path) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)


def _require_usable(folder: Path) -> None:
    if not _is_usable(folder):
        raise StoreError(f"{folder} cannot be written to: change its rights, or name another with --files")


def _hexadecimal(identity: str) -> str:
    if re.fullmatch(r"[0-9a-f]+", identity):
        return identity
    raise StoreError(f'the database holds an identity that asapbench did not make, "{identity}": {RESTORE_IT}')


def files_of(store: Store, directory: Path | None) -> Files:
    """The files of an open database: in `directory` if one is named."""
    return _beside(store.path, store.url) if directory is None else Files(without_links(directory))


def files_at(url: str, directory: Path | None) -> Files:
    """The files of the database `url`, which need not be there. Raises StoreError for a URL that names none."""
    return _beside(file_of(url), url) if directory is None else Files(without_links(directory))


def _beside(database: Path | None, url: str) -> Files:
    if database is not None:
        return Files(database.with_name(f"{database.name}.files"))
    name = Path(unquote(urlsplit(url).path)).name or "postgresql"
    return Files(without_links(Path("results", f"{name}.files")))


def finished_checkpoints(store: Store, files: Files) -> list[tuple[Path, int]]:
    """Checkpoint directories, with their bytes, of cells that have a result and need no checkpoint any more."""
    final = {cell_id[:20] for cell_id in store.ended_cells()}
    of_cells = files.root / "checkpoints"
    try:
        found = sorted(of_cells.iterdir()) if of_cells.is_dir() else []
    except OSError as error:
        raise StoreError(f"{of_cells} cannot be read: {error.strerror}; change its rights") from error
    return [(folder, size(folder)) for folder in found if folder.name in final]


def size(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(os.path.getsize(path) for path in folder.rglob("*") if os.path.isfile(path))


def remove(folder: Path) -> None:
    """Deletes `folder` and all below it. Raises StoreError."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be removed: {error.strerror or error}; change its rights") from error


def _this_process() -> str:
    """Differs between hosts and containers, which may share a folder of logs."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', platform.node())}-{os.getpid()}-{_TOKEN}"
