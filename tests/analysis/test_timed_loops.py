"""What `bench` times: the trainer's own steps, and as a control the same network in plain PyTorch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from own_data import arrays
from tiny_cell import Recorder, bits, cell, noise_images, same_bits, trainer

from asapbench.analysis.speed.plain_loop import PlainLoop, Transformed
from asapbench.analysis.speed.timed_loop import TimedLoop
from asapbench.data.images import load, random_images
from asapbench.suite.catalog import DATASETS, SCHEDULES
from asapbench.training.settings import TrainingSettings

CPU = torch.device("cpu")


def plain(which) -> PlainLoop:
    return PlainLoop(which, noise_images(), device=CPU, workers=0)


def own(which, tmp_path) -> TimedLoop:
    return TimedLoop(which, noise_images(), settings=TrainingSettings(device="cpu"), directory=tmp_path)


def test_the_first_steps_meet_both_batch_sizes(tmp_path) -> None:
    """40 examples in batches of 16, 16 and 8: it begins at the second."""
    loop = own(cell(), tmp_path)
    assert loop.steps(lambda done: done >= 3) == 16 + 8 + 16
    assert loop.steps(lambda done: done >= 1) == 16
    assert loop.steps(lambda _: True) == 8, "at least one step, whatever is enough"


def test_its_steps_are_those_of_a_run(tmp_path) -> None:
    """From the start, for an epoch: the same bits."""
    which = cell("asap", lr=1e-6, schedule=SCHEDULES["constant"].choose(), epochs=1)
    loop = own(which, tmp_path / "loop")
    loop.trainer.progress.batch = 0
    loop.steps(lambda done: done >= 3)
    run = trainer(which, noise_images(), tmp_path / "run", Recorder())
    run.fit()
    assert same_bits(bits(loop.trainer), bits(run))


def test_nothing_is_written(tmp_path) -> None:
    own(cell(), tmp_path).steps(lambda done: done >= 7)
    assert list(tmp_path.iterdir()) == []


def test_counting_operations_leaves_no_gradient_to_the_next_step(tmp_path) -> None:
    counted, other = own(cell("bp"), tmp_path), own(cell("bp"), tmp_path)
    counted.flops()
    for loop in (counted, other):
        loop.steps(lambda done: done >= 1)
    pairs = zip(counted.trainer.state.model.parameters(), other.trainer.state.model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize("rule", ["bp", "asap"])
def test_the_control_is_the_same_network_from_the_same_weights(rule: str, tmp_path) -> None:
    run = trainer(cell(rule), noise_images(), tmp_path, Recorder())
    ours, theirs = run.state.model.state_dict(), plain(cell(rule)).model.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_controls_step_is_backpropagation(tmp_path) -> None:
    """One step of plain SGD on one batch equals the trainer's under BP, except for rounding."""
    which = cell("bp", lr=0.05)
    loop, run = plain(which), trainer(which, noise_images(), tmp_path, Recorder())
    x, y = next(run.train.epoch(1, 16))
    loop._batches = iter([(x, y)])
    assert loop.steps(lambda _: True) == 16
    run._steps._step(x, y)
    for (name, p), q in zip(loop.model.named_parameters(), run.state.model.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-4, atol=1e-6), name


def test_the_control_learns() -> None:
    torch.manual_seed(0)
    loop = plain(cell("bp"))
    assert loop.steps(lambda done: done >= 3) == 40
    first, hits = loop.running_loss, loop.correct
    loop.steps(lambda done: done >= 57)
    before = loop.running_loss
    loop.correct = 0
    loop.steps(lambda done: done >= 3)
    assert loop.running_loss - before < 0.75 * first
    assert loop.correct > hits


def test_the_controls_images_are_ours_without_augmentation(tmp_path) -> None:
    which = cell("bp", augment="none")
    images = Transformed(which, noise_images())
    run = trainer(which, noise_images(), tmp_path, Recorder())
    x, y = next(run.train.sequential(len(images)))
    assert torch.allclose(torch.stack([images[n][0] for n in range(len(images))]), x, atol=1e-6)
    assert [images[n][1] for n in range(len(images))] == y.tolist()


def test_the_control_augments_where_the_cell_does() -> None:
    still, moved = (Transformed(cell("bp", augment=how), noise_images()) for how in ("none", "crop_flip"))
    torch.manual_seed(0)
    assert torch.equal(still[0][0], still[0][0])
    assert len({moved[0][0].sum().item() for _ in range(8)}) > 4
    assert moved[0][0].shape == still[0][0].shape == (3, 32, 32)


def test_images_of_one_channel_are_taken_too() -> None:
    grey = replace(cell("bp"), dataset=DATASETS["digits"].choose(), augment="none")
    assert Transformed(grey, random_images(grey.dataset))[3][0].shape == (1, 8, 8)


@pytest.mark.parametrize(("shape", "dtype"), [((5,), "float32"), ((2, 6, 6), "uint8")])
def test_values_that_are_no_picture_are_normalised_too(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays(shape=shape, dtype=dtype))
    npz = DATASETS["npz"].completed(DATASETS["npz"].choose({"path": "x.npz"}), folder=tmp_path)
    images = load(npz, tmp_path)
    loop = Transformed(replace(cell("bp"), dataset=npz, augment="none"), images)
    examples = torch.stack([example for example, _ in loop])  # type: ignore[attr-defined]
    assert torch.allclose(examples.mean(dim=(0, 2, 3)), torch.zeros(shape[0]), atol=1e-5)
    assert torch.allclose(examples.std(dim=(0, 2, 3), correction=0), torch.ones(shape[0]), atol=1e-5)


def test_random_images_have_the_data_sets_shape_and_the_statistics_they_say() -> None:
    images = random_images(DATASETS["mnist"].choose({"train_size": 500}))
    assert images.train_images.shape == (500, 1, 28, 28)
    assert images.test_images.shape == (10_000, 1, 28, 28)
    assert set(images.train_labels.tolist()) == set(range(images.classes))
    pixels = images.test_images.double() / 255
    assert float(pixels.mean()) == pytest.approx(images.mean[0], abs=1e-3)
    assert float(pixels.std()) == pytest.approx(images.std[0], abs=1e-3)
