"""The training steps of a cell: gradients under its rule, the optimizer, the running sums of an epoch.

A step reads nothing back from the device, so that the host only launches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from asapbench.data.batches import Batches
from asapbench.rules.engine.learner import Compute
from asapbench.training.environment import arithmetic
from asapbench.training.evaluate import Tally
from asapbench.training.optimizer import forget_gradients


class Step:
    """One step on a batch: images (N, C, H, W) and labels (N,) on `device`."""

    def __init__(
        self,
        objective: Compute,
        optimizer: torch.optim.Optimizer,
        begin: Callable[[], None],
        tally: Tally,
        *,
        device: torch.device,
        precision: str,
    ) -> None:
        self._objective, self._optimizer, self._tally = objective, optimizer, tally
        self.begin = begin
        """What the rule does before each call, outside a CUDA graph: `Learner.begin_step`."""
        self._device, self._precision = device, precision

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Changes parameters, running statistics, the optimizer's moments and the sums of the tally."""
        forget_gradients(self._optimizer)
        with arithmetic(self._device, self._precision):
            objective = self._objective(x, y)
        torch.autograd.backward(objective.scalar)
        self._optimizer.step()
        self._tally.add(objective.loss, objective.logits, y)


class Steps(Protocol):
    """The steps of an epoch, one after the other."""

    def epoch(self, number: int, *, start: int) -> Iterator[int]:
        """Does the steps of epoch `number` from batch `start` on; yields each batch's number of examples after it."""


class EagerSteps:
    """Each operation is launched by itself."""

    def __init__(self, step: Step, batches: Batches, batch_size: int) -> None:
        self._step, self._batches, self._batch_size = step, batches, batch_size

    def epoch(self, number: int, *, start: int) -> Iterator[int]:
        """As `Steps.epoch`."""
        for x, y in self._batches.epoch(number, self._batch_size, start=start):
            self._step.begin()
            self._step(x, y)
            yield len(y)
