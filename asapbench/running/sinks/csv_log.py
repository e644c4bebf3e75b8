"""`--csv-log FILE`: one line for each epoch, appended as it is recorded.

A line is written whole or not at all, also by a run that is killed: what a crash left of a line is cut off when the
file is opened again. One run at a time writes to a file.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asapbench.durable import check_place
from asapbench.errors import SinkError
from asapbench.metrics import EpochMetrics
from asapbench.running.sinks.sink import Series, append
from asapbench.suite.cell import FIELDS
from asapbench.suite.columns import field_value

_OF_EPOCH = {field.name: {"lr": "lr_of_epoch"}.get(field.name, field.name) for field in fields(EpochMetrics)}
"""The columns of the metrics: `lr` is the cell's, which the schedule starts from."""
_COLUMNS = ("series", "cell", "group", *FIELDS, *_OF_EPOCH.values())


class CsvLog:
    """The file `path`; it is created if it is missing. Its folder must exist."""

    def __init__(self, path: Path) -> None:
        self.check(path)
        self._path = path
        self._known: dict[str, int] = {}
        self._lock = FileLock(f"{path}.lock", timeout=0)
        try:
            self._lock.acquire()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except Timeout as error:
            raise SinkError(f"--csv-log {path}: another run is writing to it; name another file") from error
        except OSError as error:
            raise SinkError(f"--csv-log {path} cannot be written ({error.strerror}): name another file") from error
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def check(path: Path) -> None:
        """Raises SinkError or AsapbenchError for a name that is not a log's, or a place where none can be."""
        if path.suffix.lower() != ".csv":
            raise SinkError(f"--csv-log {path}: end the file's name in .csv")
        check_place(path, f"--csv-log {path}")
        header, content = _line(_COLUMNS), b""
        try:
            if path.exists():
                with path.open("rb") as file:
                    content = file.read(len(header))
        except OSError as error:
            raise SinkError(f"--csv-log {path} cannot be read ({error.strerror}): name another file") from error
        if not (content.startswith(header) or header.startswith(content)):
            raise SinkError(f"--csv-log {path}: it is another file, with other columns; name a new file")

    def open(self, series: Series) -> int:
        """The last epoch that the file has of the series."""
        return self._known.get(series.id, 0)

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        """Append a line."""
        cell = series.cell
        chosen = [field_value(cell, field) for field in FIELDS]
        measured = [getattr(metrics, name) for name in _OF_EPOCH]
        append(self._file, _line([series.id, cell.id, series.group, *chosen, *measured]))
        self._known[series.id] = metrics.epoch

    def ended(self, series: Series, state: str) -> None:
        """Nothing to write: the file has epochs."""

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
        self._lock.release()

    def _read(self) -> None:
        """Find the epochs that the file has, and cut off an incomplete last line. SinkError if it was changed."""
        with open(self._file, "rb", closefd=False) as file:
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for row in csv.DictReader(io.StringIO(whole.decode("utf-8", "replace"))):
            try:
                self._known[row["series"]] = max(int(row["epoch"]), self._known.get(row["series"], 0))
            except (TypeError, ValueError) as error:
                raise SinkError(f"--csv-log {self._path}: a line was changed ({error}); name a new file") from error
        os.ftruncate(self._file, len(whole))
        if not whole:
            append(self._file, _line(_COLUMNS))


def _line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
