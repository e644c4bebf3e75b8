"""What learning curves show of each epoch."""

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
