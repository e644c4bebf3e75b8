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
    step. Validation is None if nothing is held out, peak memory if the device does not report it. Test figures are NaN
    where the test set is not evaluated.
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


WHOLE_NETWORK = ""
"""The name of the whole network among those of its layers, as among torch's modules."""


@dataclass(frozen=True)
class GradientQuality:
    """A rule's gradient beside backpropagation's after `epoch` epochs (0: before training), on one fixed batch.

    One row for each `layer` with a trained weight W, and one for `WHOLE_NETWORK`. All values are ratios or counts,
    without a unit; None where a value does not exist.

    `norm_ratio`: of the norm of the rule's gradient of W to that of backpropagation's.
    `effective_rank`: of the rule's error signal at the layer's output, as a matrix of N examples by all units of the
    layer (channels times positions of a convolution): exp of the entropy of its singular values as shares of their sum
    (Roy and Vetterli 2007), from 1 to at most N. `bp_effective_rank`: the same of backpropagation's error signal.
    `decrease_share`: the decrease of the batch's loss by one step of plain gradient descent along the rule's gradient,
    as a fraction of that along backpropagation's. Both steps have the learning rate of the next epoch (after the last
    epoch, its own) and move W alone, or, for the whole network, each parameter that the rule trains. Negative where the
    rule's step increases the loss; None where backpropagation's does not decrease it measurably.
    """

    epoch: int
    layer: str
    norm_ratio: float | None
    effective_rank: float | None
    bp_effective_rank: float | None
    decrease_share: float | None


LayerRow = Alignment | GradientQuality
"""What is measured of one layer after an epoch."""


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
