"""An attempt records, beside its hardware, the options of training that change its time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, make_runner

from asapbench.machine.slots import Slot
from asapbench.report.hardware import ran_on
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.training.settings import TrainingSettings

CELL = load("quickstart").cells[0]


def done(worker: FakeWorker, _cell: Cell) -> None:
    worker.end("done")


@pytest.mark.parametrize(
    ("device", "given", "graphs", "said"),
    [
        ("cpu", None, False, ", --compile"),
        ("cuda", None, True, ", --compile --cuda-graphs"),
        ("cuda:1", None, True, ", --compile --cuda-graphs"),
        ("cuda", False, False, ", --compile"),
    ],
)
def test_an_attempt_says_which_options_it_had(
    device: str, given: bool | None, graphs: bool, said: str, tmp_path: Path
) -> None:
    """What was done, also where it was left to the cell."""
    with Store.open(f"sqlite:///{tmp_path}/test.sqlite") as store:
        executor = FakeExecutor([Slot(0, device)], done)
        training = TrainingSettings(compiled=True, cuda_graphs=given)
        make_runner(store, [CELL], executor, tmp_path, training=training).run()
        (attempt,) = store.attempts(CELL.id)
        ran = store.provenance(attempt.provenance_id)
    assert ran.hardware["options"] == {"compiled": True, "cuda_graphs": graphs, "deterministic": True}
    assert ran_on(ran, device=device).endswith(said)
