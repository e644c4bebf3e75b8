"""Results made up for the tests: no database, no training."""

from asapbench.store import Attempt, Result
from asapbench.suite.cell import Cell
from asapbench.suite.load import load


def result(cell: Cell, percent: float | None = None, *, state: str = "done", **changes: object) -> Result:
    """A result whose best accuracy is `percent`, the last 1 point and the best-val one half a point below."""
    fraction = None if percent is None else percent / 100
    values = {
        "id": cell.id[:8],
        "cell_id": cell.id,
        "number": 1,
        "lineage": cell.id[:8],
        "resumed_from": None,
        "state": state,
        "superseded": False,
        "lease": 1,
        "host": "host",
        "boot_id": "boot",
        "pid": 1,
        "pid_started": 0.0,
        "device": "cpu",
        "provenance_id": "p",
        "bit_exact": True,
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": None,
        "epochs_done": cell.epochs,
        "error": None,
        "log_tail": None,
        "last_test_accuracy": None if fraction is None else fraction - 0.01,
        "best_test_accuracy": fraction,
        "best_test_epoch": 1,
        "best_val_test_accuracy": None,
        "best_val_epoch": None,
        "weights_path": None,
        "weights_digest": None,
    }
    return Result(cell, Attempt(**(values | changes)))  # type: ignore[arg-type]


def shipped_cell(suite: str, model: str, rule: str, *, seed: int = 0) -> Cell:
    """The cell of a shipped suite, under another seed."""
    cells = load(suite).cells
    return next(c for c in cells if (c.model.name, c.rule.name) == (model, rule)).with_seed(seed)
