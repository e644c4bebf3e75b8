"""What curves show of each epoch: a metric of learning curves, or an angle of each layer."""

from __future__ import annotations

from enum import StrEnum

from asapbench.metrics import EpochMetrics


class Quantity(StrEnum):
    """What is drawn against epochs."""

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
        """`test accuracy`."""
        return self.field.replace("_", " ")

    @property
    def described(self) -> str:
        """How captions name it."""
        what = "Accuracy in percent" if self.unit == "percent" else "Cross-entropy in nats"
        if self.startswith("train"):
            return f"{what} over each epoch's own training batches"
        return f"{what} on the test data after each epoch"

    @property
    def unit(self) -> str:
        """Its unit."""
        return "percent" if self.endswith("accuracy") else "nats"

    def of(self, epoch: EpochMetrics) -> float:
        """Its value in its unit."""
        value: float = getattr(epoch, self.field)
        return 100 * value if self.unit == "percent" else value


class Angle(StrEnum):
    """What is drawn of each layer's alignment, by the names that the database has for it."""

    WEIGHTS = "weights"
    UPDATE = "update"

    @property
    def described(self) -> str:
        """How captions name it."""
        if self is Angle.WEIGHTS:
            return "Angle between W and B (W and C under Forward Alignment)"
        return "Angle between the rule's weight gradient and backpropagation's, on one training batch"
