"""What reports show: the test accuracy at one epoch, a metric of every epoch, or an angle of each layer."""

from __future__ import annotations

from enum import StrEnum

from asapbench.metrics import EpochMetrics
from asapbench.store import Attempt


class Metric(StrEnum):
    """The epoch whose test accuracy a table shows."""

    LAST = "last"
    BEST = "best"
    BEST_VAL = "best-val"

    def of(self, attempt: Attempt) -> float | None:
        """The test accuracy in percent, or None where the attempt has none."""
        fraction: float | None = getattr(attempt, f"{self.replace('-', '_')}_test_accuracy")
        return None if fraction is None else 100 * fraction

    @property
    def described(self) -> str:
        """The epoch, in the words of a caption."""
        return {
            Metric.LAST: "at the last epoch (last)",
            Metric.BEST: "at the best test epoch (best: the paper's convention, the epoch is chosen on the test data)",
            Metric.BEST_VAL: "at the best validation epoch (best-val)",
        }[self]


class Quantity(StrEnum):
    """What learning curves show of each epoch.

    >>> Quantity.TRAIN_LOSS.words, Quantity.TRAIN_LOSS.unit
    ('train loss', 'nats')
    """

    ACCURACY = "accuracy"
    LOSS = "loss"
    TRAIN_ACCURACY = "train-accuracy"
    TRAIN_LOSS = "train-loss"

    @property
    def field(self) -> str:
        """The field of EpochMetrics."""
        return self.replace("-", "_") if self.startswith("train") else f"test_{self}"

    @property
    def words(self) -> str:
        """The name of its axis: `test accuracy`."""
        return self.field.replace("_", " ")

    @property
    def described(self) -> str:
        """The quantity and its unit, in the words of a caption."""
        what = "Accuracy in percent" if self.unit == "percent" else "Cross-entropy in nats"
        if self.startswith("train"):
            return f"{what} over each epoch's own training batches"
        return f"{what} on the test data after each epoch"

    @property
    def unit(self) -> str:
        """`percent` or `nats`."""
        return "percent" if self.endswith("accuracy") else "nats"

    def of(self, epoch: EpochMetrics) -> float:
        """The value at one epoch, in `unit`."""
        value: float = getattr(epoch, self.field)
        return 100 * value if self.unit == "percent" else value


class Angle(StrEnum):
    """Which angle of each layer is shown; the database uses the same names."""

    WEIGHTS = "weights"
    UPDATE = "update"

    @property
    def described(self) -> str:
        """The angle, in the words of a caption."""
        if self is Angle.WEIGHTS:
            return "Angle between W and B (W and C under Forward Alignment)"
        return "Angle between the rule's weight gradient and backpropagation's, on one training batch"
