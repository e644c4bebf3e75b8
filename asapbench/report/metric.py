"""Which epoch's test accuracy a report shows."""

from __future__ import annotations

from enum import StrEnum

from asapbench.store import Attempt


class Metric(StrEnum):
    """The epoch at which the test accuracy is taken."""

    LAST = "last"
    BEST = "best"
    BEST_VAL = "best-val"

    def of(self, attempt: Attempt) -> float | None:
        """Test accuracy in percent, or None where the attempt has none."""
        fraction = {
            Metric.LAST: attempt.last_test_accuracy,
            Metric.BEST: attempt.best_test_accuracy,
            Metric.BEST_VAL: attempt.best_val_test_accuracy,
        }[self]
        return None if fraction is None else 100 * fraction

    @property
    def described(self) -> str:
        """How captions name the epoch."""
        return {
            Metric.LAST: "at the last epoch (last)",
            Metric.BEST: "at the best test epoch (best: the paper's convention, the epoch is chosen on the test data)",
            Metric.BEST_VAL: "at the best validation epoch (best-val)",
        }[self]
