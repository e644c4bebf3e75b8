"""The recipe of Appendix C: schedule, optimizer, metrics, and what ends a cell."""

import math

import pytest
import torch
from tiny_cell import Recorder, cell, trainer

from asapbench.data.images import Images
from asapbench.errors import CheckpointError, DivergedError
from asapbench.suite.catalog import OPTIMIZERS
from asapbench.training import weights
from asapbench.training.checkpoint import write_file
from asapbench.training.optimizer import build_optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_has_the_cells_settings(name: str) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    changed = OPTIMIZERS[name].choose({"weight_decay": 0.125})
    group = build_optimizer(changed, [parameter], lr=0.5, device=torch.device("cpu")).param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.125)


def test_training_metrics_are_means_over_the_epochs_own_steps(images: Images, tmp_path) -> None:
    """Against a plain loop written here, in torch alone."""
    recorder = Recorder()
    run = trainer(cell("bp", epochs=1), images, tmp_path, recorder)
    twin = trainer(cell("bp", epochs=1), images, tmp_path / "twin", Recorder())
    run.fit()
    model = twin.state.model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    loss_sum, hits = 0.0, 0
    for x, y in twin.train.epoch(1, 16):
        optimizer.zero_grad()
        logits = model(x)
        loss = torch.nn.functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(y)
        hits += int((logits.argmax(1) == y).sum())
    (row,) = recorder.rows
    assert row.train_loss == pytest.approx(loss_sum / 40, rel=1e-6)
    assert row.train_accuracy == hits / 40
    assert row.lr == 0.05
    with torch.no_grad():
        x, y = next(twin.test.sequential(20))
        logits = model.eval()(x)
    assert row.test_loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, y)), rel=1e-5)
    assert row.test_accuracy == int((logits.argmax(1) == y).sum()) / 20


def test_a_loss_that_is_not_finite_ends_the_cell(images: Images, tmp_path) -> None:
    recorder = Recorder()
    run = trainer(cell("bp", lr=1e30), images, tmp_path, recorder)
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) in epoch"):
        run.fit()
    assert all(math.isfinite(row.train_loss) and math.isfinite(row.test_loss) for row in recorder.rows)


def test_kept_weights_evaluate_to_the_recorded_accuracy(images: Images, tmp_path) -> None:
    recorder = Recorder()
    run = trainer(cell("asap"), images, tmp_path, recorder)
    run.fit()
    write_file(run.state.weights(), tmp_path / "a.weights")
    assert weights.load(tmp_path / "a.weights")[0] == run.cell
    loss, accuracy = weights.evaluated(tmp_path / "a.weights", images)
    assert (loss, accuracy) == (recorder.rows[-1].test_loss, recorder.rows[-1].test_accuracy)


def test_weights_of_another_model_are_refused(images: Images, tmp_path) -> None:
    write_file({"cell": cell("bp").to_json(), "model": {"x": torch.zeros(1)}}, tmp_path / "a.weights")
    with pytest.raises(CheckpointError, match="not weights of the model"):
        weights.load(tmp_path / "a.weights")


def test_a_checkpoint_of_another_cell_is_refused(images: Images, tmp_path) -> None:
    trainer(cell("bp"), images, tmp_path, Recorder(1)).fit()
    with pytest.raises(CheckpointError, match="belongs to cell"):
        trainer(cell("bp", lr=0.1), images, tmp_path, Recorder())


def test_validation_examples_are_held_out_of_training(images: Images, tmp_path) -> None:
    run = trainer(cell("bp", validation=8), images, tmp_path, Recorder())
    assert run.validation is not None
    assert (len(run.train), len(run.validation), len(run.test)) == (32, 8, 20)
    other = trainer(cell("fa", validation=8, seed=5), images, tmp_path / "b", Recorder())
    assert other.validation is not None
    assert torch.equal(next(run.validation.sequential(8))[0], next(other.validation.sequential(8))[0])
