"""When a cell's checkpoints are written, what each reports, and which older ones are removed.

An epoch, or a row of a layer, is reported to the listener when a checkpoint that holds it is durable. Earlier attempts'
checkpoints are removed once this attempt has as many as are kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from asapbench.metrics import EpochMetrics, LayerRow
from asapbench.retry_policy import RETRY_SECONDS, RetryPolicy
from asapbench.training import checkpoint, saved
from asapbench.training.listener import Listener
from asapbench.training.saved import Saved
from asapbench.training.settings import CHECKPOINT_SECONDS
from asapbench.training.writer import Writer

_WRITES = 10
"""While an epoch waits to be reported, checkpoints start this many times the last write's duration apart."""


class Checkpoints:
    """One attempt's: `directory` takes them, `previous` may hold those of earlier attempts.

    `writer` must be closed, which waits for the write that is pending. `interval`: see `is_due`.
    """

    def __init__(
        self,
        directory: Path,
        previous: Sequence[Path],
        *,
        device: torch.device,
        interval: float | None,
        listener: Listener,
    ) -> None:
        self._directory, self._previous, self._listener = directory, tuple(previous), listener
        self._interval = interval
        self.retry_policy = RetryPolicy(RETRY_SECONDS, say=listener.warned, should_stop=listener.should_stop)
        self.writer = Writer(device)
        self._number = checkpoint.next_number(directory)
        self._written = 0
        self._epochs = self._layers = 0
        """How many rows were handed to the writer to be reported."""

    def newest(self) -> tuple[Path, Saved] | None:
        """The checkpoint that came furthest; warns of each that is damaged."""
        return saved.newest([self._directory, *self._previous], warn=self._listener.warned)

    def start_after(self, epochs: int, layers: Sequence[LayerRow]) -> None:
        """Counts what the checkpoint from which the cell resumes holds as reported, except the rows of layers."""
        if layers:
            self._listener.aligned(layers)
        self._epochs, self._layers = epochs, len(layers)

    def holds_back(self, epochs: int) -> bool:
        """Whether one of the first `epochs` epochs waits for a checkpoint."""
        return self._epochs < epochs

    def is_due(self, epochs: int) -> bool:
        """Whether to write a checkpoint now, after `epochs` epochs: never while one is pending.

        With an interval, that many seconds after the last one started. Without, after `CHECKPOINT_SECONDS`, and earlier
        if an epoch waits to be reported, as long as checkpoints take at most a tenth of the time.
        """
        if not self.writer.is_idle():
            return False
        interval = CHECKPOINT_SECONDS if self._interval is None else self._interval
        if self._interval is None and self.holds_back(epochs):
            interval = min(interval, _WRITES * self.writer.seconds)
        return time.monotonic() - self.writer.began >= interval

    def write(self, state: Saved) -> None:
        """Hands a snapshot to the writer, with what to report once it is durable."""
        make_durable = partial(
            self._make_durable,
            number=self._number,
            epochs=state.history[self._epochs :],
            layers=state.alignment[self._layers :],
        )
        self.writer.write(state.content(), make_durable)
        self._number += 1
        self._epochs, self._layers = state.epoch, len(state.alignment)

    def keep_last(self) -> None:
        """The cell is done: one checkpoint stays."""
        checkpoint.prune(self._directory, keep=1)
        if self._written:  # else the last checkpoint is an earlier attempt's
            self._remove_previous()

    def _make_durable(
        self, content: dict[str, Any], *, number: int, epochs: Sequence[EpochMetrics], layers: Sequence[LayerRow]
    ) -> None:
        """On the writer's thread: the checkpoint first, then what it holds is reported."""
        self.retry_policy.call(lambda: checkpoint.write(content, self._directory, number=number))
        self._written += 1
        if self._written == checkpoint.KEPT:
            self._remove_previous()
        for metrics in epochs:
            self._listener.finished_epoch(metrics)
        if layers:
            self._listener.aligned(layers)

    def _remove_previous(self) -> None:
        for directory in self._previous:
            checkpoint.prune(directory, keep=0)
