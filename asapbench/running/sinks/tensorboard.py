"""`--tensorboard DIR`: event files for TensorBoard, one folder for each series, with its settings as hparams.

TensorBoard's own records and reader are used; they import neither torch nor TensorFlow. Its `EventFileWriter` is not:
that one writes on a thread, which prints the traceback of a full disk. An epoch is one record in one write, so that a
run that is killed leaves whole epochs.
"""

from __future__ import annotations

import os
import socket
import time
from io import BytesIO
from pathlib import Path
from typing import Any

from asapbench.errors import SinkError, install_extra
from asapbench.metrics import EpochMetrics
from asapbench.running.sinks.sink import Series, append, check_folder, require, scalars


class TensorBoard:
    """The log directory `folder`, which `tensorboard --logdir` takes; it is created if it is missing."""

    def __init__(self, folder: Path) -> None:
        self.check(folder)
        self._folder = folder
        self._files: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"--tensorboard {folder} cannot be made ({error.strerror}): name another folder") from error

    @staticmethod
    def check(folder: Path) -> None:
        """Raises SinkError where TensorBoard is not installed, or the folder cannot be."""
        require("tensorboard", option="--tensorboard", install=install_extra("tensorboard"))
        check_folder(folder, f"--tensorboard {folder}")

    def open(self, series: Series) -> int:
        """The last step in the event files of the series."""
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        files = sorted((self._folder / series.name).glob("*tfevents*"))
        return max((event.step for file in files for event in LegacyEventFileLoader(str(file)).Load()), default=0)

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        """Write one record."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(metrics).items()]
        _write(self._file(series), step=metrics.epoch, summary=Summary(value=values))

    def ended(self, series: Series, state: str) -> None:
        """Close the event file."""
        if (file := self._files.pop(series.id, None)) is not None:
            os.close(file)

    def close(self) -> None:
        """Close the event files of series that have not ended."""
        for file in self._files.values():
            os.close(file)

    def _file(self, series: Series) -> int:
        """The open event file of the series. A new one starts with the settings, as hparams."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import summary_v2

        if (file := self._files.get(series.id)) is None:
            folder = self._folder / series.name
            folder.mkdir(exist_ok=True)
            # As TensorBoard names them: later files of a folder continue the earlier ones.
            name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}.0"
            file = self._files[series.id] = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            _write(file, file_version="brain.Event:2")
            hparams = summary_v2.hparams_pb(series.settings(), trial_id=series.id)
            _write(file, step=0, summary=Summary(value=hparams.value))
        return file


def _write(file: int, **content: Any) -> None:
    """Append one event."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    record = BytesIO()
    RecordWriter(record).write(Event(wall_time=time.time(), **content).SerializeToString())
    append(file, record.getvalue())
