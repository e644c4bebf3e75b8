"""What a checkpoint holds: `Saved` is the one declaration, for writing and for reading.

`read` refuses what is not whole or has other types. `CellState` compares the tensors with those it restores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from asapbench.errors import CheckpointError
from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.training.checkpoint import files, read_file
from asapbench.training.environment import CHANNELS_LAST, MEMORY_ORDER, memory_format

_Count = Annotated[int, Field(ge=0, lt=2**31)]
_MOST_THREADS = 1024


@dataclass(frozen=True)
class Saved:
    """One checkpoint: `epoch` epochs are done, each a row of `history`, and `batch` batches of the next one.

    The tensors are those of the state itself, not copies. A field without a default is in every checkpoint.
    """

    cell: str
    epoch: _Count
    batch: _Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    tally: dict[str, Any]
    history: list[EpochMetrics]
    model: dict[str, Any]
    rule: dict[str, Any]
    optimizer: dict[str, Any]
    environment: dict[str, str | int | bool]
    feedback_digest: str
    bit_exact: bool
    alignment: list[LayerRow] = field(default_factory=list)  # checkpoints of 0.1 had none, later ones angles alone

    @property
    def position(self) -> tuple[int, int]:
        """Epochs done, and batches of the next."""
        return self.epoch, self.batch

    def content(self) -> dict[str, Any]:
        """What is written: an entry for each field, rows as dictionaries."""
        rows = {name: [asdict(row) for row in getattr(self, name)] for name in ("history", "alignment")}
        return {field.name: getattr(self, field.name) for field in fields(self)} | rows

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """The order in memory in which it resumes on `device`: on a CPU, the one in which it was trained on a CPU."""
        if device.type != "cpu" or self.environment.get("device") != "cpu":
            return memory_format(device)
        is_last = self.environment.get(MEMORY_ORDER) == CHANNELS_LAST
        return torch.channels_last if is_last else torch.contiguous_format

    def threads(self, default: int) -> int:
        """How many threads it was trained with; `default` on a GPU, where they decide nothing."""
        return int(self.environment.get("threads", default))


_SAVED = TypeAdapter(Saved)


def read(path: Path) -> Saved:
    """The checkpoint at `path`. Raises CheckpointError if it is not whole or holds something else."""
    try:
        saved = _SAVED.validate_python(read_file(path))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise CheckpointError(f"{path}: not what a checkpoint holds: {where}: {fault['msg']}") from error
    if [row.epoch for row in saved.history] != list(range(1, saved.epoch + 1)):
        raise CheckpointError(f"{path}: not what a checkpoint holds: its history is not that of {saved.epoch} epochs")
    threads = saved.environment.get("threads", 1)
    if type(threads) is not int or not 1 <= threads <= _MOST_THREADS:
        raise CheckpointError(f"{path}: not what a checkpoint holds: it was trained with {threads!r} threads")
    return saved


def newest(directories: Iterable[Path], *, warn: Callable[[str], None]) -> tuple[Path, Saved] | None:
    """The furthest checkpoint of `directories`: of each its last one that is whole. `warn` reports the others."""
    best: tuple[Path, Saved] | None = None
    for directory in directories:
        for path in reversed(list(files(directory))):
            try:
                held = read(path)
            except CheckpointError as error:
                warn(f"{error}; resuming an earlier one")
                continue
            if best is None or held.position > best[1].position:
                best = path, held
            break
    return best


def require_alike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raises ValueError unless `theirs` has every entry of `ours`, with its type and shape: a copy would broadcast."""
    for name, value in ours.items():
        other: Any = theirs.get(name)
        if type(other) is not type(value) or (isinstance(value, Tensor) and other.shape != value.shape):
            raise ValueError(f"{name} is {describe(other)}, not {describe(value)}")


def describe(value: object) -> str:
    """How an error names what a checkpoint holds."""
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"
