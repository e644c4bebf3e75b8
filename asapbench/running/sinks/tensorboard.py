"""`--tensorboard DIR`: event files for TensorBoard, one folder for each series, with its settings as hparams.

TensorBoard's own writer and reader are used; they import neither torch nor TensorFlow. An epoch is one record, so that
a run that is killed leaves whole epochs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from asapbench.errors import SinkError, install_extra
from asapbench.metrics import EpochMetrics
from asapbench.running.sinks.sink import Series, require, scalars


class TensorBoard:
    """The log directory `folder`, which `tensorboard --logdir` takes; it is created if it is missing."""

    def __init__(self, folder: Path) -> None:
        require("tensorboard", option="--tensorboard", install=install_extra("tensorboard"))
        self._folder = folder
        self._writers: dict[str, Any] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(folder, os.W_OK)
        except OSError as error:
            raise SinkError(f"--tensorboard {folder} cannot be made ({error.strerror}): name another folder") from error
        if not writable:
            raise SinkError(f"--tensorboard {folder} cannot be written: name another folder")

    def open(self, series: Series) -> int:
        """The last step in the event files of the series."""
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        files = sorted((self._folder / series.name).glob("*tfevents*"))
        return max((event.step for file in files for event in LegacyEventFileLoader(str(file)).Load()), default=0)

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        """Write one record, and let it reach the file."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        writer = self._writer(series)
        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(metrics).items()]
        writer.add_event(_event(Summary(value=values), step=metrics.epoch))
        writer.flush()

    def ended(self, series: Series, state: str) -> None:
        """Close the event file."""
        if (writer := self._writers.pop(series.id, None)) is not None:
            writer.close()

    def close(self) -> None:
        """Close the event files of series that have not ended."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, series: Series) -> Any:
        """The open event file of the series. A new one starts with the settings, as hparams."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if series.id not in self._writers:
            writer = EventFileWriter(str(self._folder / series.name))
            hparams = summary_v2.hparams_pb(series.settings(), trial_id=series.id)
            writer.add_event(_event(Summary(value=hparams.value), step=0))
            self._writers[series.id] = writer
        return self._writers[series.id]


def _event(summary: Any, *, step: int) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=time.time(), step=step, summary=summary)
