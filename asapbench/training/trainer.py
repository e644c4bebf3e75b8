"""The training loop of one cell, from its last checkpoint to its end or to a request to stop.

A cell killed at any instant and resumed ends with the same bits as one never interrupted: a checkpoint holds weights,
learned feedback, optimizer, the position inside the epoch with its running sums, and what was measured so far
(`cell_state`). Everything random is drawn again from the seed. Each epoch is checkpointed before it is reported
(`checkpoints`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import torch

from asapbench.data.batches import Batches
from asapbench.data.images import Images
from asapbench.errors import DivergedError, WorkerError
from asapbench.metrics import EpochMetrics
from asapbench.rules.engine.learner import Compute
from asapbench.suite.catalog import OPTIMIZERS
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.training.alignment import alignment
from asapbench.training.batches import testing_batches, training_batches
from asapbench.training.cell_state import CellState, Environment, Progress
from asapbench.training.checkpoints import Checkpoints
from asapbench.training.compiled import compiled_objective, require_equal
from asapbench.training.environment import (
    configure,
    memory_format,
    peak_memory,
    reset_peak_memory,
    signature,
    synchronize,
)
from asapbench.training.evaluate import StoppedError, evaluate
from asapbench.training.gradient_quality import gradient_quality
from asapbench.training.graph import GraphSteps
from asapbench.training.listener import Listener
from asapbench.training.optimizer import learning_rate, set_rate
from asapbench.training.settings import TrainingSettings
from asapbench.training.steps import EagerSteps, Step, Steps

_REPORT_SECONDS = 0.5
"""Between two reports from inside an epoch."""


class Trainer:
    """One cell on one device. `directory` takes this attempt's checkpoints; `previous` may hold earlier ones.

    Raises SuiteError for a cell that cannot be trained as it says, CheckpointError for a checkpoint that is not its
    own.
    """

    def __init__(
        self,
        cell: Cell,
        images: Images,
        *,
        settings: TrainingSettings,
        directory: Path,
        previous: Sequence[Path],
        listener: Listener,
    ) -> None:
        require_trainable(cell)
        self.cell, self.settings, self.listener = cell, settings, listener
        self.device = device = torch.device(settings.device)
        self.uses_graphs = settings.uses_graphs(cell, device.type)
        self._reported = time.monotonic()
        self.checkpoints = Checkpoints(
            directory, previous, device=device, interval=settings.checkpoint_seconds, listener=listener
        )
        found = self.checkpoints.newest()
        threads = settings.threads if found is None else found[1].threads(settings.threads)
        configure(device, threads=threads, deterministic=settings.deterministic, precision=cell.precision)
        self.memory_format = order = memory_format(device) if found is None else found[1].memory_format(device)
        self.state = CellState(cell, images, device=device, memory_format=order, warn=listener.warned)
        self.train, self.validation = training_batches(cell, images, device, memory_format=order)
        self.test = testing_batches(cell, images, device, memory_format=order)
        self._batches = self.train.batches(cell.batch_size)
        self._steps = self._built_steps()
        self._environment: Environment = signature(device, settings, uses_graphs=self.uses_graphs, memory_format=order)
        if found is not None:
            self.state.restore(*found, environment=self._environment, batches=self._batches)

    @property
    def progress(self) -> Progress:
        """Where training stands."""
        return self.state.progress

    def fit(self) -> Literal["done", "interrupted"]:
        """Trains to the end or until the listener asks to stop. Raises DivergedError at a non-finite loss.

        However it ends, what was reported is durable, and no write is pending.
        """
        with closing(self.checkpoints.writer):
            progress, cell = self.progress, self.cell
            self.listener.resumed(progress.history, batch=progress.batch, bit_exact=self.state.bit_exact)
            self.checkpoints.start_after(progress.epoch, progress.alignment)
            if (progress.epoch, progress.batch) == (0, 0):
                self._measure_layers()
            while progress.epoch < cell.epochs:
                reset_peak_memory(self.device)
                try:
                    self.steps()
                    metrics = self._evaluated()
                except StoppedError:
                    self._write()
                    return "interrupted"
                except DivergedError:
                    if self.checkpoints.holds_back(progress.epoch):
                        self._write()
                    raise
                progress.history.append(metrics)
                progress.epoch, progress.batch, progress.seconds = metrics.epoch, 0, 0.0
                self.state.tally.reset()
                self._measure_layers()
                if progress.epoch == cell.epochs or self.checkpoints.is_due(progress.epoch):
                    self._write()
                else:
                    self._announce(metrics)
        self.checkpoints.keep_last()
        return "done"

    def _built_steps(self) -> Steps:
        """Raises WorkerError where the compiled objective is not the rule's, at the cell's first weights."""
        cell, settings = self.cell, self.settings
        objective: Compute = self.state.learner.objective
        if settings.compiled:
            size, threads = cell.batch_size, settings.compile_threads
            objective = compiled_objective(self.state.learner, batch_size=size, threads=threads)
            x, y = next(self.train.epoch(1, size))
            require_equal(self.state.learner.train(), objective, x, y, precision=cell.precision)
        begin, tally = self.state.learner.begin_step, self.state.tally
        step = Step(objective, self.state.optimizer, begin, tally, device=self.device, precision=cell.precision)
        if self.uses_graphs and not OPTIMIZERS[cell.optimizer.name].takes_fused:
            raise WorkerError(f"{cell.optimizer.name} reads its learning rate on the host: train with --no-cuda-graphs")
        return (GraphSteps if self.uses_graphs else EagerSteps)(step, self.train, cell.batch_size)

    def steps(self) -> None:
        """The rest of the epoch's steps. Raises StoppedError, after a whole step, if a stop was requested."""
        progress = self.progress
        self.state.learner.train()
        epoch = progress.epoch + 1
        set_rate(self.state.optimizer, learning_rate(self.cell, epoch))
        started = reported = time.monotonic()
        seen_before, before = self.state.tally.seen, progress.seconds
        for examples in self._steps.epoch(epoch, start=progress.batch):
            progress.batch += 1
            self.state.tally.seen += examples
            now = time.monotonic()
            progress.seconds = before + now - started
            if now - reported >= _REPORT_SECONDS:
                reported = now
                self._report(epoch, (self.state.tally.seen - seen_before) / (now - started))
            if progress.batch < self._batches and self.checkpoints.is_due(progress.epoch):
                started += self._write()
            if self.listener.should_stop():
                raise StoppedError
        synchronize(self.device)
        progress.seconds = before + time.monotonic() - started

    def _report(self, epoch: int, rate: float) -> None:
        self._require_finite(self.state.tally.loss(), epoch, "training")
        self._progressed(epoch, self.progress.batch, accuracy=self.state.tally.accuracy(), rate=rate)

    def _progressed(self, epoch: int, batch: int, *, accuracy: float, rate: float) -> None:
        self.listener.progressed(epoch=epoch, batch=batch, batches=self._batches, accuracy=accuracy, rate=rate)

    def _evaluated(self) -> EpochMetrics:
        epoch = self.progress.epoch + 1
        train_loss = self.state.tally.loss()
        self._require_finite(train_loss, epoch, "training")
        seconds, train_accuracy = self.progress.seconds, self.state.tally.accuracy()
        rate = self.state.tally.seen / seconds if seconds > 0 else 0.0
        if seconds >= _REPORT_SECONDS or len(self.test) > len(self.train):  # else the evaluation is short, too
            self._progressed(epoch, self._batches, accuracy=train_accuracy, rate=rate)
        test = (math.nan, math.nan)
        if self.cell.test_set:
            test = self._measured(self.test)
            self._require_finite(test[0], epoch, "test")
        held_out = (None, None) if self.validation is None else self._measured(self.validation)
        return EpochMetrics(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=test[0],
            test_accuracy=test[1],
            validation_loss=held_out[0],
            validation_accuracy=held_out[1],
            lr=learning_rate(self.cell, epoch),
            seconds=seconds,
            samples_per_second=rate,
            peak_memory_bytes=peak_memory(self.device, uses_graphs=self.uses_graphs),
        )

    def _announce(self, metrics: EpochMetrics) -> None:
        """Says that training is past an epoch that waits for its checkpoint: short epochs report nothing else."""
        now = time.monotonic()
        if now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            accuracy, rate = metrics.train_accuracy, metrics.samples_per_second
            self._progressed(metrics.epoch + 1, 0, accuracy=accuracy, rate=rate)

    def _measured(self, batches: Batches) -> tuple[float, float]:
        precision, stop = self.cell.precision, self.listener.should_stop
        return evaluate(self.state.model, batches, device=self.device, precision=precision, should_stop=stop)

    def _measure_layers(self) -> None:
        """Measures angles and gradient quality, as the settings say, on the first batch of the first epoch."""
        settings, cell, learner, rows = self.settings, self.cell, self.state.learner, self.progress.alignment
        if not (settings.alignment or settings.gradient_quality):
            return
        x, y = next(self.train.epoch(1, cell.batch_size))
        epoch, precision = self.progress.epoch, cell.precision
        if settings.alignment:
            rows += alignment(learner, x, y, epoch=epoch, precision=precision)
        if settings.gradient_quality:
            rate = learning_rate(cell, min(epoch + 1, cell.epochs))
            rows += gradient_quality(learner, x, y, epoch=epoch, precision=precision, rate=rate)

    def _require_finite(self, loss: float, epoch: int, of: str) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the {of} loss is {loss} in epoch {epoch}")

    def _write(self) -> float:
        """Hands a checkpoint to the writer; returns the seconds that took."""
        synchronize(self.device)  # the wait for steps that are queued is no part of the checkpoint's time
        before = time.monotonic()
        self.checkpoints.write(self.state.saved(self._environment))
        return time.monotonic() - before
