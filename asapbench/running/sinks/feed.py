"""`Feeds`: from the runner to the sinks, each on a thread of its own."""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asapbench.metrics import EpochMetrics
from asapbench.running.plan import state_of
from asapbench.running.settings import RunSettings
from asapbench.running.sinks.sink import Series, Sink
from asapbench.store.records import Attempt, without_passwords_of
from asapbench.store.store import Store
from asapbench.suite.cell import Cell

_CLASSES = {"csv_log": "CsvLog", "tensorboard": "TensorBoard", "wandb": "WeightsAndBiases", "mlflow": "MLflow"}
"""By the setting, which has the name of the sink's module."""
_CLOSE_SECONDS = 60.0
"""How long the end of a run waits for a sink."""


@dataclass(frozen=True)
class _Recorded:
    """A series of which the database may have epochs that the sink lacks, and the state of its newest attempt."""

    series: Series
    attempt: Attempt


@dataclass(frozen=True)
class _Written:
    """Epochs that were committed."""

    series: Series
    epochs: Sequence[EpochMetrics]


@dataclass(frozen=True)
class _Ended:
    series: Series
    state: str


class _Feed(threading.Thread):
    """One sink. `fault` is why it was switched off; None while it works."""

    def __init__(self, name: str, value: object, sink: Sink, history: Callable[[str], Sequence[EpochMetrics]]) -> None:
        super().__init__(name=f"sink {name}", daemon=True)
        self.option = "--" + name.replace("_", "-")
        self.inbox: queue.SimpleQueue[_Recorded | _Written | _Ended | None] = queue.SimpleQueue()
        self.fault: str | None = None
        self._value, self._sink, self._history = str(value), sink, history
        self._last: dict[str, int] = {}

    def run(self) -> None:
        """Handle what arrives until the end, or until the sink fails."""
        try:
            while (item := self.inbox.get()) is not None:
                self._handle(item)
            self._sink.close()
        except Exception as error:  # noqa: BLE001 - a client may raise anything, and none of it may stop the training
            said = without_passwords_of(self._value, str(error))
            reason = " ".join(said.split()) or type(error).__name__
            self.fault = f"{self.option} failed and is switched off; training is not affected ({reason})"

    def _handle(self, item: _Recorded | _Written | _Ended) -> None:
        match item:
            case _Written(series, epochs):
                self._send(series, epochs)
            case _Ended(series, state):
                self._end(series, state)
            case _Recorded(series, attempt):
                if self._known(series) < attempt.epochs_done:
                    self._send(series, self._history(series.lineage))
                self._end(series, attempt.state)

    def _send(self, series: Series, epochs: Sequence[EpochMetrics]) -> None:
        """Send the epochs that the sink lacks. A resumed cell reports its whole history."""
        last = self._known(series)
        for metrics in sorted(epochs, key=lambda metrics: metrics.epoch):
            if metrics.epoch > last:
                self._sink.epoch(series, metrics)
                self._last[series.id] = last = metrics.epoch

    def _known(self, series: Series) -> int:
        if series.id not in self._last:
            self._last[series.id] = self._sink.open(series)
        return self._last[series.id]

    def _end(self, series: Series, state: str) -> None:
        self._known(series)
        self._sink.ended(series, state)
        del self._last[series.id]


def check_sinks(settings: RunSettings) -> None:
    """Raises SinkError for a sink of the settings that cannot be used, as far as this shows without making anything."""
    for name, value in _chosen(settings):
        _class(name).check(value)


class Feeds:
    """The sinks of a run. Its methods never wait for a sink, except `close`."""

    def __init__(self, settings: RunSettings) -> None:
        """Raises SinkError for a sink that cannot be used: before anything trains."""
        self._sinks = [(name, value, _class(name)(value)) for name, value in _chosen(settings)]
        self._feeds: list[_Feed] = []
        self._reported: set[str] = set()

    def start(self, store: Store, cells: Sequence[Cell]) -> None:
        """Start the sinks: each first gets what the database has of `cells` and the sink lacks."""
        if not self._sinks:
            return
        self._feeds = [_Feed(*sink, store.epochs) for sink in self._sinks]
        attempts = store.states([cell.id for cell in cells])
        for cell in cells:
            attempt = attempts[cell.id]
            if attempt is not None and attempt.epochs_done and state_of(attempt) != "running":
                self._put(_Recorded(Series(cell, attempt.lineage), attempt))
        for feed in self._feeds:
            feed.start()

    def wrote(self, cell: Cell, lineage: str, epochs: Sequence[EpochMetrics]) -> None:
        """These epochs are in the database."""
        self._put(_Written(Series(cell, lineage), epochs))

    def ended(self, cell: Cell, lineage: str, state: str) -> None:
        """An attempt has ended."""
        self._put(_Ended(Series(cell, lineage), state))

    def new_faults(self) -> Iterator[str]:
        """What was not reported yet of sinks that failed."""
        for fault in self.faults:
            if fault not in self._reported:
                self._reported.add(fault)
                yield fault

    @property
    def faults(self) -> list[str]:
        """Of each sink that failed, why."""
        return [feed.fault for feed in self._feeds if feed.fault is not None]

    def close(self, *, at_once: Callable[[], bool] = lambda: False) -> None:
        """Wait until every sink has all epochs, but not for long, and not if `at_once`."""
        until = time.monotonic() + _CLOSE_SECONDS
        for feed in self._feeds:
            feed.inbox.put(None)
        for feed in self._feeds:
            while feed.is_alive() and time.monotonic() < until and not at_once():
                feed.join(0.1)
            if feed.is_alive():
                feed.fault = f"{feed.option} has not received everything; the next run or resume with it sends the rest"

    def _put(self, item: _Recorded | _Written | _Ended) -> None:
        for feed in self._feeds:
            if feed.fault is None:
                feed.inbox.put(item)


def _chosen(settings: RunSettings) -> Iterator[tuple[str, Any]]:
    """The sinks that the settings ask for, and their values."""
    for name in _CLASSES:
        if (value := getattr(settings, name)) is not None:
            yield name, value


def _class(name: str) -> type[Sink]:
    module = importlib.import_module(f"asapbench.running.sinks.{name}")
    found: type[Sink] = getattr(module, _CLASSES[name])
    return found
