"""The trainer's loop for timing: its own steps on its own data path, epoch after epoch.

There are no evaluations, checkpoints or reports to a runner. The learning rate is tiny and constant: a step costs the
same, and the weights stay finite on any images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import torch

from asapbench.data.images import Images
from asapbench.suite.catalog import SCHEDULES
from asapbench.suite.cell import Cell
from asapbench.training.cell_state import Progress
from asapbench.training.environment import arithmetic
from asapbench.training.evaluate import StoppedError
from asapbench.training.flops import counted
from asapbench.training.listener import Listener
from asapbench.training.settings import TrainingSettings
from asapbench.training.trainer import Trainer

_LEARNING_RATE = 1e-6


class TimedLoop:
    """`cell` as a run trains it under `settings`. `directory` is not written to."""

    def __init__(self, cell: Cell, images: Images, *, settings: TrainingSettings, directory: Path) -> None:
        self._listener = _StopAfter()
        self.trainer = Trainer(
            replace(cell, lr=_LEARNING_RATE, schedule=SCHEDULES["constant"].choose()),
            images,
            settings=replace(settings, checkpoint_seconds=inf, alignment=False, gradient_quality=False),
            directory=directory,
            previous=(),
            listener=self._listener,
        )
        # An epoch's last batch may have another size: the first steps have both sizes.
        batches = self.trainer.train.batches(cell.batch_size)
        self.trainer.state.progress = Progress(batch=max(batches - 2, 0))

    @property
    def device(self) -> torch.device:
        """The device that trains."""
        return self.trainer.device

    def flops(self) -> float:
        """Floating-point operations of a step under the cell's rule, by example."""
        trainer = self.trainer
        x, y = next(trainer.train.epoch(1, trainer.cell.batch_size))

        def gradients() -> None:
            with arithmetic(trainer.device, trainer.cell.precision):
                objective = trainer.state.learner.train().objective(x, y)
            torch.autograd.backward(objective.scalar)

        return counted(gradients) / len(y)

    def steps(self, enough: Callable[[int], bool]) -> int:
        """Trains until `enough` is true of the number of steps, at least one; returns the number of examples."""
        trainer, before = self.trainer, self.trainer.state.tally.seen
        self._listener.begin(enough)
        try:
            while True:
                trainer.steps()
                trainer.state.progress = Progress(epoch=trainer.progress.epoch + 1)
        except StoppedError:
            return trainer.state.tally.seen - before


class _StopAfter(Listener):
    """A listener that only stops: when `enough` is true of the number of steps since `begin`."""

    def __init__(self) -> None:
        self._steps = 0
        self._enough: Callable[[int], bool] = lambda _: True

    def begin(self, enough: Callable[[int], bool]) -> None:
        self._steps, self._enough = 0, enough

    def should_stop(self) -> bool:
        self._steps += 1
        return self._enough(self._steps)
