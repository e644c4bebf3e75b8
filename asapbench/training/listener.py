"""`Listener`: receives what the training of a cell reports, and may request its stop."""

from __future__ import annotations

from collections.abc import Sequence

from asapbench.metrics import EpochMetrics, LayerRow


class Listener:
    """Receives the events of one cell; this class ignores them. Each call may raise to end the attempt.

    `finished_epoch`, `aligned`, `warned` and `should_stop` are called from the writer's thread, too.
    """

    def warned(self, message: str) -> None:
        """Something a user should know, such as a damaged checkpoint that was skipped."""

    def resumed(self, history: Sequence[EpochMetrics], *, batch: int, bit_exact: bool) -> None:
        """The cell starts or resumes after the epochs of `history`, `batch` batches into the next; called once."""

    def progressed(self, *, epoch: int, batch: int, batches: int, accuracy: float, rate: float) -> None:
        """Called about twice a second from the training loop, and when its last batch is done and a longer evaluation
        starts; `rate` in examples a second.
        """

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """A checkpoint that holds this epoch is durable. Called once for each epoch, in order."""

    def aligned(self, rows: Sequence[LayerRow]) -> None:
        """Measurements of layers that a durable checkpoint holds: on a resume all so far, then what each adds."""

    def should_stop(self) -> bool:
        """Called after each step and inside evaluations: True stops the cell cleanly, inside the epoch."""
        return False
