"""What one epoch gives: shared by the training that measures it and the store that keeps it. Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

HOW_FAST = ("seconds", "samples_per_second", "peak_memory_bytes")


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch, counted from 1. Losses are means of the cross-entropy in nats, accuracies fractions of 1.

    The training figures are running means over the epoch's own batches, augmented, each under the weights of its
    step. Validation is None where nothing is held out, peak memory where the device does not tell.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    seconds: float
    samples_per_second: float
    peak_memory_bytes: int | None

    def same_result(self, other: EpochMetrics) -> bool:
        """Whether both say the same, bit for bit, of everything but speed and memory. NaN equals NaN."""
        names = (field.name for field in fields(self) if field.name not in HOW_FAST)
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)


def _same(ours: float | None, theirs: float | None) -> bool:
    both_nan = ours is not None and theirs is not None and math.isnan(ours) and math.isnan(theirs)
    return ours == theirs or both_nan
