"""The measurements of a cell, shared by training, analysis and the store. Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

HOW_FAST = ("seconds", "samples_per_second", "peak_memory_bytes")


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch, counted from 1. Losses are means of the cross-entropy in nats, accuracies fractions of 1.

    The training figures are running means over the epoch's own batches, augmented, each under the weights of its
    step. Validation is None if nothing is held out, peak memory if the device does not report it.
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
        """Whether both are equal, bit for bit, except for speed and memory. NaN equals NaN."""
        names = (field.name for field in fields(self) if field.name not in HOW_FAST)
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)


@dataclass(frozen=True)
class Alignment:
    """The angle of one layer after `epoch` epochs (0: before training), in degrees.

    "weights": between the forward weight and the weight it is compared with (B; C under Forward Alignment).
    "update": between the rule's gradient of W and backpropagation's, on one fixed batch. None if one of the two has
    no direction: it is zero or not finite.
    """

    epoch: int
    layer: str
    quantity: Literal["weights", "update"]
    degrees: float | None


@dataclass(frozen=True)
class Measurement:
    """One quantity of one layer of a trained cell: the mean of `n` samples and their standard deviation.

    The analysis defines `quantity` and its unit. A missing value is None, as is the spread of one sample.
    """

    layer: str
    quantity: str
    value: float | None
    spread: float | None
    n: int


def _same(ours: float | None, theirs: float | None) -> bool:
    both_nan = ours is not None and theirs is not None and math.isnan(ours) and math.isnan(theirs)
    return ours == theirs or both_nan
