"""Loss and accuracy of a model on a set of examples."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.data.batches import Batches
from asapbench.machine.kinds import kind_of
from asapbench.training.environment import arithmetic


class StoppedError(Exception):
    """An evaluation was asked to stop before its end."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Batches,
    *,
    device: torch.device,
    precision: str,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[float, float]:
    """(mean cross-entropy in nats, accuracy as a fraction) in evaluation mode; restores the mode of each module.

    Raises StoppedError, with the model in evaluation mode, if `should_stop` is true before a batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    tally = Tally(device)
    for x, y in batches.sequential(kind_of(device.type).evaluated_together):
        if should_stop():
            raise StoppedError
        with arithmetic(device, precision):
            logits = model(x)
        tally.add(F.cross_entropy(logits.float(), y), logits, y)
        tally.seen += len(y)
    for module, training in modes:
        module.training = training
    return tally.loss(), tally.accuracy()


class Tally:
    """Running sums of loss and hits, on the device, read once: a read is a wait for the device.

    `seen`, the number of examples, is counted by the caller of `add`: a replayed CUDA graph runs no Python.
    """

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float64 if kind_of(device.type).has_float64 else torch.float32
        self.loss_sum = torch.zeros((), dtype=dtype, device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self.seen = 0

    def add(self, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        """One batch: its mean loss (), logits (N, K) and labels (N,)."""
        self.loss_sum.add_(loss.detach(), alpha=len(y))
        self.hits += (logits.argmax(1) == y).sum()

    def reset(self) -> None:
        """Starts again from zero, in the same memory."""
        self.loss_sum.zero_()
        self.hits.zero_()
        self.seen = 0

    def loss(self) -> float:
        """Mean over the examples seen."""
        return float(self.loss_sum) / max(self.seen, 1)

    def accuracy(self) -> float:
        """Fraction of the examples seen."""
        return int(self.hits) / max(self.seen, 1)

    def state(self) -> dict[str, Tensor | int]:
        """For a checkpoint inside an epoch: the sums themselves, not copies."""
        return {"loss_sum": self.loss_sum, "hits": self.hits, "seen": self.seen}

    def load(self, state: dict[str, Tensor | int]) -> None:
        """Restores what `state` returned."""
        for name in ("loss_sum", "hits"):
            value = state[name]
            assert isinstance(value, Tensor)
            getattr(self, name).copy_(value)
        self.seen = int(state["seen"])
