"""The learning rate of each epoch is that of torch's own schedulers, warm-up included."""

from dataclasses import replace

import pytest
import torch
from tiny_cell import Recorder, cell, trainer
from torch.optim import lr_scheduler

from asapbench.errors import SuiteError
from asapbench.suite.catalog import SCHEDULES
from asapbench.suite.entries import Epoch
from asapbench.training.optimizer import learning_rate

EPOCHS = 40
TORCH = {
    "constant": lambda optimizer, total, warmup: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer, total, warmup: lr_scheduler.CosineAnnealingLR(optimizer, T_max=total),
    "linear": lambda optimizer, total, warmup: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=total),
    "step": lambda optimizer, total, warmup: lr_scheduler.MultiStepLR(optimizer, [12 - warmup, 30 - warmup], gamma=0.3),
}
CHOICES = {name: entry.choose() for name, entry in SCHEDULES.items()} | {
    "step": SCHEDULES["step"].choose({"milestones": " 12  30", "factor": 0.3})
}


@pytest.mark.filterwarnings("ignore:.*epoch parameter in `scheduler.step")
@pytest.mark.parametrize("warmup", [0, 1, 5])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_equals_torchs(name: str, warmup: int) -> None:
    which = replace(cell("bp"), schedule=CHOICES[name], epochs=EPOCHS, warmup=warmup, lr=0.03)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.03)
    theirs = TORCH[name](optimizer, EPOCHS - warmup, warmup)
    if warmup:
        ramp = lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), 1.0, total_iters=warmup)
        theirs = lr_scheduler.SequentialLR(optimizer, [ramp, theirs], milestones=[warmup])
    for epoch in range(1, EPOCHS + 1):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(which, epoch) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        optimizer.step()
        theirs.step()


def test_the_tested_schedules_are_all_there_are() -> None:
    assert set(TORCH) == set(SCHEDULES)


def test_a_trained_epoch_has_the_rate_of_its_schedule(images, tmp_path) -> None:
    schedule = SCHEDULES["step"].choose({"milestones": "2", "factor": 0.5})
    recorder = Recorder()
    run = trainer(cell("bp", schedule=schedule, warmup=1, lr=0.04), images, tmp_path, recorder)
    run.fit()
    assert [row.lr for row in recorder.rows] == [0.02, 0.04, 0.02]


def test_a_schedule_that_is_not_in_the_catalog_is_an_error_and_no_other_schedule() -> None:
    unknown = replace(cell("bp"), schedule=replace(SCHEDULES["cosine"].choose(), name="cosin"))
    with pytest.raises(KeyError, match="cosin"):
        learning_rate(unknown, 1)


def test_a_schedule_counts_the_epochs_behind_the_warm_up() -> None:
    assert (Epoch(6, 20, warmup=5).done, Epoch(6, 20, warmup=5).total) == (0, 15)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), -0.1])
def test_a_factor_that_is_no_rate_is_an_error(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(SCHEDULES["constant"], factor=lambda _choice, _epoch: factor)
    monkeypatch.setitem(SCHEDULES, "constant", wrong)
    with pytest.raises(SuiteError, match="the schedule constant has the factor"):
        learning_rate(replace(cell("bp"), schedule=wrong.choose()), 1)
