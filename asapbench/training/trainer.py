"""The training loop of one cell, from its last checkpoint to its end or to a request to stop.

A cell killed at any instant and resumed ends with the same bits as one never interrupted: a checkpoint holds weights,
learned feedback, optimizer, the position inside the epoch with its running sums, and what was measured so far.
Everything random is drawn again from the seed. A background thread writes checkpoints (`writer`). An epoch is reported
to the listener when a checkpoint that holds it is durable.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from asapbench.data.batches import Batches
from asapbench.data.images import Images
from asapbench.errors import CheckpointError, DivergedError
from asapbench.metrics import Alignment, EpochMetrics
from asapbench.models import build, initialise
from asapbench.retry_policy import RETRY_SECONDS, RetryPolicy
from asapbench.rules import CrossEntropy, attach
from asapbench.suite.cell import Cell
from asapbench.suite.grid import require_trainable
from asapbench.training import checkpoint, saved
from asapbench.training.alignment import alignment
from asapbench.training.batches import testing_batches, training_batches
from asapbench.training.compiled import Compute, compiled_objective, require_equal
from asapbench.training.environment import (
    configure,
    differences,
    memory_format,
    peak_memory,
    reset_peak_memory,
    signature,
    synchronize,
)
from asapbench.training.evaluate import StoppedError, Tally, evaluate
from asapbench.training.graph import GraphSteps
from asapbench.training.optimizer import build_optimizer, learning_rate, set_rate
from asapbench.training.saved import Saved, describe, require_alike
from asapbench.training.settings import CHECKPOINT_SECONDS, TrainingSettings
from asapbench.training.steps import EagerSteps, Step, Steps
from asapbench.training.writer import Writer

_BEAT_SECONDS = 0.5
_WRITES = 10
"""Where an epoch waits to be reported, a checkpoint begins this many times the last write's duration after the last."""


class Listener(Protocol):
    """Who follows a cell. Each call may raise to end the attempt.

    `finished_epoch`, `aligned`, `warned` and `should_stop` are called from the writer's thread, too.
    """

    def warned(self, message: str) -> None:
        """Something a user should know, such as a damaged checkpoint that was skipped."""

    def resumed(self, history: Sequence[EpochMetrics], *, batch: int, bit_exact: bool) -> None:
        """The cell goes on after the epochs of `history`, `batch` batches into the next; called once, also at 0."""

    def progressed(self, *, epoch: int, batch: int, batches: int, accuracy: float, rate: float) -> None:
        """Called about twice a second from the training loop, and when its last batch is done and an evaluation of some
        length begins; `rate` in examples a second.
        """

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """A checkpoint that holds this epoch is durable. Called once for each epoch, in order."""

    def aligned(self, rows: Sequence[Alignment]) -> None:
        """Angles that a durable checkpoint holds: on a resume all so far, then what each checkpoint adds."""

    def should_stop(self) -> bool:
        """Asked after each step and inside evaluations: true stops the cell cleanly, inside the epoch."""


@dataclass
class Progress:
    """Where training stands: completed epochs, and batches done in the epoch under way."""

    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    history: list[EpochMetrics] = field(default_factory=list)
    alignment: list[Alignment] = field(default_factory=list)


class Trainer:
    """One cell on one device. `directory` takes this attempt's checkpoints; `previous` may hold earlier ones.

    Raises SuiteError for a cell that cannot be trained as it says.
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
        self.cell, self.settings, self.directory, self.listener = cell, settings, directory, listener
        self.device = torch.device(settings.device)
        self.progress = Progress()
        self.bit_exact = True
        self.retry_policy = RetryPolicy(RETRY_SECONDS, say=listener.warned, should_stop=listener.should_stop)
        self.writer, self._announced = Writer(self.device), time.monotonic()
        self._previous, self._written, self._epochs_handed, self._angles_handed = tuple(previous), 0, 0, 0
        found = checkpoint.newest(
            [directory, *previous], read=saved.read, position=lambda one: one.position, warn=listener.warned
        )
        threads = settings.threads if found is None else found[1].threads(settings.threads)
        self.memory_format = memory_format(self.device) if found is None else found[1].memory_format(self.device)
        configure(self.device, threads=threads, deterministic=settings.deterministic, precision=cell.precision)
        self.model = build(cell.model, channels=images.train_images.shape[1], size=images.train_images.shape[2],
                           classes=images.classes)  # fmt: skip
        initialise(self.model, cell.seed, linear=cell.model.text("linear_init"))
        criterion = CrossEntropy(cell.label_smoothing)
        self.learner = attach(self.model, cell.rule, images.train_images[:2].float(), cell.seed, criterion=criterion)
        self.learner.to(self.device)
        self.learner.to(memory_format=self.memory_format)
        parameters = [parameter for _, parameter in self.learner.trained_parameters()]
        self.optimizer = build_optimizer(cell.optimizer, parameters, lr=cell.lr, device=self.device)
        if dict(cell.rule.options).get("form") == "recursion" and (why := self.learner.bind(self.optimizer)):
            listener.warned(f"{cell.label} ({cell.short}): feedback weights are held explicitly: {why}")
        # After bind: the start D0 of a recursion is drawn again on a resume and must be the same.
        self.feedback_digest = self.learner.fixed_digest()
        order = self.memory_format
        self.train, self.validation = training_batches(cell, images, self.device, memory_format=order)
        self.test = testing_batches(cell, images, self.device, memory_format=order)
        self.tally = Tally(self.device)
        self._steps = self._built_steps()
        self.number = checkpoint.next_number(directory)
        if found is not None:
            self._load(*found)

    def fit(self) -> Literal["done", "interrupted"]:
        """Trains to the end or until the listener asks to stop. Raises DivergedError at a non-finite loss.

        However it ends, what was reported is durable, and no write is pending.
        """
        with self.writer:
            self.listener.resumed(self.progress.history, batch=self.progress.batch, bit_exact=self.bit_exact)
            self._report_alignment()
            if (self.progress.epoch, self.progress.batch) == (0, 0):
                self._align()
            while self.progress.epoch < self.cell.epochs:
                reset_peak_memory(self.device)
                try:
                    self.steps()
                    metrics = self._evaluated()
                except StoppedError:
                    self._write()
                    return "interrupted"
                except DivergedError:
                    if self._epochs_handed < self.progress.epoch:
                        self._write()
                    raise
                self.progress.history.append(metrics)
                self.progress.epoch, self.progress.batch, self.progress.seconds = metrics.epoch, 0, 0.0
                self.tally.reset()
                self._align()
                if self.progress.epoch == self.cell.epochs or self._is_due():
                    self._write()
                else:
                    self._announce(metrics)
        checkpoint.prune(self.directory, keep=1)
        if self._written:  # else the last checkpoint there is lies with an earlier attempt
            self._forget_previous()
        return "done"

    def _built_steps(self) -> Steps:
        """Raises WorkerError where the compiled objective is not the rule's, at the cell's first weights."""
        cell, settings = self.cell, self.settings
        objective: Compute = self.learner.objective
        if settings.compiled:
            size, threads = cell.batch_size, settings.compile_threads
            objective = compiled_objective(self.learner, batch_size=size, threads=threads)
            x, y = next(self.train.epoch(1, size))
            require_equal(self.learner.train(), objective, x, y, precision=cell.precision)
        step = Step(objective, self.optimizer, self.tally, device=self.device, precision=cell.precision)
        return (GraphSteps if settings.cuda_graphs else EagerSteps)(step, self.train, cell.batch_size)

    def weights(self) -> dict[str, Any]:
        """The cell and its trained weights, for `training.weights`."""
        return {"cell": self.cell.to_json(), "model": self.model.state_dict(), "rule": self.learner.rule_state()}

    def steps(self) -> None:
        """The rest of the epoch's steps. Raises StoppedError, after a whole step, where it was asked to stop."""
        cell, progress = self.cell, self.progress
        self.learner.train()
        epoch = progress.epoch + 1
        set_rate(self.optimizer, self._rate(epoch))
        batches = self.train.batches(cell.batch_size)
        started = beat = time.monotonic()
        seen_before, before = self.tally.seen, progress.seconds
        for examples in self._steps.epoch(epoch, start=progress.batch):
            progress.batch += 1
            self.tally.seen += examples
            now = time.monotonic()
            progress.seconds = before + now - started
            if now - beat >= _BEAT_SECONDS:
                beat = now
                rate = (self.tally.seen - seen_before) / (now - started)
                self._beat(epoch, progress.batch, batches, rate)
            if progress.batch < batches and self._is_due():
                started += self._write()
            if self.listener.should_stop():
                raise StoppedError
        synchronize(self.device)
        progress.seconds = before + time.monotonic() - started

    def _rate(self, epoch: int) -> float:
        return learning_rate(self.cell, epoch)

    def _beat(self, epoch: int, batch: int, batches: int, rate: float) -> None:
        self._require_finite(self.tally.loss(), epoch, "training")
        accuracy = self.tally.accuracy()
        self.listener.progressed(epoch=epoch, batch=batch, batches=batches, accuracy=accuracy, rate=rate)

    def _evaluated(self) -> EpochMetrics:
        epoch = self.progress.epoch + 1
        train_loss = self.tally.loss()
        self._require_finite(train_loss, epoch, "training")
        seconds, train_accuracy = self.progress.seconds, self.tally.accuracy()
        rate = self.tally.seen / seconds if seconds > 0 else 0.0
        if seconds >= _BEAT_SECONDS or len(self.test) > len(self.train):  # else the evaluation is short, too
            batches = self.train.batches(self.cell.batch_size)
            self.listener.progressed(epoch=epoch, batch=batches, batches=batches, accuracy=train_accuracy, rate=rate)
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
            lr=self._rate(epoch),
            seconds=seconds,
            samples_per_second=rate,
            peak_memory_bytes=peak_memory(self.device, cuda_graphs=self.settings.cuda_graphs),
        )

    def _announce(self, metrics: EpochMetrics) -> None:
        """Says that training is past an epoch that waits for its checkpoint: short epochs report nothing else."""
        now = time.monotonic()
        if now - self._announced >= _BEAT_SECONDS:
            self._announced = now
            self.listener.progressed(
                epoch=metrics.epoch + 1,
                batch=0,
                batches=self.train.batches(self.cell.batch_size),
                accuracy=metrics.train_accuracy,
                rate=metrics.samples_per_second,
            )

    def _measured(self, batches: Batches) -> tuple[float, float]:
        precision, stop = self.cell.precision, self.listener.should_stop
        return evaluate(self.model, batches, device=self.device, precision=precision, should_stop=stop)

    def _align(self) -> None:
        """Measures the angles, where that was asked for, on the first batch of the first epoch."""
        if self.settings.alignment:
            x, y = next(self.train.epoch(1, self.cell.batch_size))
            epoch, precision = self.progress.epoch, self.cell.precision
            self.progress.alignment += alignment(self.learner, x, y, epoch=epoch, precision=precision)

    def _report_alignment(self) -> None:
        """Reports the angles of the checkpoint from which the cell resumes."""
        if rows := self.progress.alignment[self._angles_handed :]:
            self.listener.aligned(rows)
        self._angles_handed = len(self.progress.alignment)

    def _require_finite(self, loss: float, epoch: int, of: str) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the {of} loss is {loss} in epoch {epoch}")

    def _is_due(self) -> bool:
        """Whether to write a checkpoint now: never while one is pending.

        With `checkpoint_seconds`, that long after the last one began. Without, after two minutes, and earlier where an
        epoch waits to be reported, as long as checkpoints take at most a tenth of the time.
        """
        if not self.writer.is_idle():
            return False
        interval = self.settings.checkpoint_seconds
        if interval is None:
            waits = self._epochs_handed < self.progress.epoch
            interval = min(CHECKPOINT_SECONDS, _WRITES * self.writer.seconds) if waits else CHECKPOINT_SECONDS
        return time.monotonic() - self.writer.began >= interval

    def _write(self) -> float:
        """Hands a snapshot to the writer, with what to report once it is durable; returns the seconds that took."""
        synchronize(self.device)  # the wait for steps that are queued is no part of the checkpoint's time
        before = time.monotonic()
        content = {
            "cell": self.cell.id,
            "epoch": self.progress.epoch,
            "batch": self.progress.batch,
            "seconds": self.progress.seconds,
            "tally": self.tally.state(),
            "history": [asdict(metrics) for metrics in self.progress.history],
            "alignment": [asdict(row) for row in self.progress.alignment],
            "model": self.model.state_dict(),
            "rule": self.learner.rule_state(),
            "optimizer": self.optimizer.state_dict(),
            "environment": self._signature(),
            "feedback_digest": self.feedback_digest,
            "bit_exact": self.bit_exact,
        }
        make_durable = partial(
            self._make_durable,
            number=self.number,
            epochs=self.progress.history[self._epochs_handed :],
            angles=self.progress.alignment[self._angles_handed :],
        )
        self.writer.write(content, make_durable)
        self.number += 1
        self._epochs_handed, self._angles_handed = self.progress.epoch, len(self.progress.alignment)
        return time.monotonic() - before

    def _make_durable(
        self, content: dict[str, Any], *, number: int, epochs: Sequence[EpochMetrics], angles: Sequence[Alignment]
    ) -> None:
        """On the writer's thread: the checkpoint first, then what it holds is reported."""
        self.retry_policy.call(lambda: checkpoint.write(content, self.directory, number=number))
        self._written += 1
        if self._written == checkpoint.KEPT:
            self._forget_previous()
        for metrics in epochs:
            self.listener.finished_epoch(metrics)
        if angles:
            self.listener.aligned(angles)

    def _signature(self) -> dict[str, str | int | bool]:
        settings = self.settings
        return signature(
            self.device,
            deterministic=settings.deterministic,
            memory_format=self.memory_format,
            compiled=settings.compiled,
            cuda_graphs=settings.cuda_graphs,
        )

    def _forget_previous(self) -> None:
        """Earlier attempts' checkpoints are needed no more once this one has as many as are kept."""
        for directory in self._previous:
            checkpoint.prune(directory, keep=0)

    def _load(self, path: Path, held: Saved) -> None:
        """Takes back what `_write` wrote. Raises CheckpointError for what is not this cell's, or not a checkpoint's."""
        again = f"train it from scratch with `asapbench rerun --only cell={self.cell.short}`"
        if held.cell != self.cell.id:
            raise CheckpointError(f"{path}: belongs to cell {held.cell[:10]}, not to {self.cell.short}")
        changed = differences(held.environment, self._signature())
        if held.feedback_digest != self.feedback_digest:
            raise CheckpointError(
                f"{path}: its fixed feedback weights (SHA-256 {held.feedback_digest[:10]}) are not those that seed "
                f"{self.cell.seed} gives here ({self.feedback_digest[:10]}), where every machine should give the same; "
                f"{'; '.join(changed) or 'the environment is the same'}; {again}"
            )
        last = (self.cell.epochs - 1, self.train.batches(self.cell.batch_size))
        if held.position > last and held.position != (self.cell.epochs, 0):
            raise CheckpointError(f"{path}: epoch {held.epoch}, batch {held.batch} are beyond the cell's end; {again}")
        try:
            require_alike(self.model.state_dict(), held.model)
            require_alike(self.learner.rule_state(), held.rule)
            require_alike(self.tally.state(), held.tally)
            self.model.load_state_dict(held.model)
            self.learner.load_rule_state(held.rule)
            self.tally.load(held.tally)
            self._load_optimizer(held.optimizer)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit its cell: {shorten(str(error), 300)}; {again}") from error
        if changed:
            self.listener.warned(
                f"{self.cell.label} ({self.cell.short}): not bit-exact from here: {'; '.join(changed)}"
            )
        self.bit_exact = held.bit_exact and not changed
        self.progress = Progress(held.epoch, held.batch, held.seconds, held.history, held.alignment)
        self._epochs_handed = held.epoch

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """The optimizer's moments; its settings stay the cell's, whatever the file says."""
        self.optimizer.load_state_dict(state | {"param_groups": self.optimizer.state_dict()["param_groups"]})
        for parameter, moments in self.optimizer.state.items():
            for name, moment in moments.items():
                if not isinstance(moment, Tensor) or moment.shape == ():
                    continue
                if moment.shape != parameter.shape:
                    raise ValueError(f"{name} of the optimizer is {describe(moment)}, not {describe(parameter)}")
                # Fused optimizers read parameter and moment in the order of memory, which differs between devices.
                moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(moment)
