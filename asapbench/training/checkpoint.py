"""Checkpoints of one cell: written whole or not at all.

A checkpoint is durable when `write` returns: temporary file, fsync of the file, rename, fsync of the directories. The
last two are kept. A file is a line that names the format, the
SHA-256 and length of what follows, then a tensor archive that loads without running code. What a checkpoint holds is
the trainer's business; this module only moves bytes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from asapbench.durable import sync_directories, write_whole
from asapbench.errors import CheckpointError
from asapbench.training import CHECKPOINT_SUFFIX
from asapbench.training.environment import is_out_of_memory

_MAGIC = "asapbench-checkpoint-1"
KEPT = 2


def write(content: dict[str, Any], directory: Path, *, number: int) -> Path:
    """Makes `content` durable as checkpoint `number` in `directory`, and drops all but the last two."""
    path = directory / f"{number:08d}{CHECKPOINT_SUFFIX}"
    write_file(content, path)
    prune(directory, keep=KEPT)
    return path


def write_file(content: dict[str, Any], path: Path) -> str:
    """Writes one file whole; returns the SHA-256 of its content."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [f"{_MAGIC} {digest} {len(payload)}\n".encode(), payload])
    sync_directories(path.parent)
    return digest


def digest(path: Path) -> str:
    """The SHA-256 that a file says its content has. Raises CheckpointError."""
    return _read(path)[0][1]


def _read(path: Path) -> tuple[list[str], bytes]:
    """The words of the first line, and the rest."""
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise CheckpointError(f"{path}: cannot be read: not a file")
    try:
        with path.open("rb") as file:
            head = file.readline(256).decode("ascii", "replace").split()
            payload = file.read()
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        raise CheckpointError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error
    if len(head) != 3 or head[0] != _MAGIC:
        raise CheckpointError(f"{path}: not a checkpoint of this version of asapbench")
    return head, payload


def read_file(path: Path) -> dict[str, Any]:
    """What `write_file` wrote. Raises CheckpointError if it is not whole."""
    head, payload = _read(path)
    if str(len(payload)) != head[2]:
        raise CheckpointError(f"{path}: cut short: {len(payload)} bytes of {head[2]}")
    if hashlib.sha256(payload).hexdigest() != head[1]:
        raise CheckpointError(f"{path}: damaged: its content does not have the checksum it was written with")
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler has no error of its own: it depends on the content
        if is_out_of_memory(error):
            raise MemoryError(f"{path} does not fit into memory") from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise CheckpointError(f"{path}: cannot be loaded safely: {reason}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not what a checkpoint holds: it is of type {type(content).__name__}")
    return content


def files(directory: Path) -> Iterator[Path]:
    """The checkpoints in `directory`, oldest first."""
    yield from sorted(directory.glob(f"*{CHECKPOINT_SUFFIX}"))


def next_number(directory: Path) -> int:
    """The number of the checkpoint to be written next in `directory`."""
    return max((int(path.stem) for path in files(directory) if path.stem.isdecimal()), default=0) + 1


def prune(directory: Path, *, keep: int) -> None:
    """Removes all but the newest `keep` checkpoints of `directory`, and what a killed writer left half-written."""
    for path in list(files(directory))[: -keep or None]:
        path.unlink(missing_ok=True)
    for path in directory.glob("*.part"):
        path.unlink(missing_ok=True)
