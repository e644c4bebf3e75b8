"""Biases in front of BatchNorm: nothing in a training step, and in evaluation what the running means lag behind them.

Decision 0001 cites these numbers.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.suite.catalog import MODELS

SIZE, BATCH = 12, 32


def with_and_without_biases() -> list[nn.Module]:
    """Two AlexNets of the same weights in float64, the second with convolution biases."""
    models = []
    for biases in (False, True):
        choice = MODELS["alexnet"].choose({"width": 4, "hidden": 16, "conv_bias": biases})
        model = build(choice, channels=3, size=SIZE, classes=10)
        initialise(model, 1)
        models.append(model.double())
    return models


def images(count: int) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def difference(models: list[nn.Module], x: Tensor, *, training: bool) -> float:
    """The largest difference of both models' logits, over the largest logit."""
    with torch.no_grad():
        ours, theirs = (model.train(training)(x) for model in models)
    return float((ours - theirs).abs().max() / ours.abs().max())


@pytest.mark.parametrize(("passes", "low", "high"), [(10, 1e-2, 2e-1), (160, 1e-9, 1e-6)])
def test_evaluation_differs_while_running_means_lag_and_training_never_does(
    passes: int, low: float, high: float
) -> None:
    models, x = with_and_without_biases(), images(BATCH)
    assert max(difference(models, x, training=True) for _ in range(passes)) < 1e-12
    assert low < difference(models, x, training=False) < high


def test_biases_that_decay_keep_evaluations_apart() -> None:
    """Weight decay moves a bias each step, and the running mean follows behind it."""
    models, x = with_and_without_biases(), images(8 * BATCH)
    y = torch.randint(10, (len(x),), generator=torch.Generator().manual_seed(0))
    for model in models:
        optimizer = torch.optim.SGD(model.parameters(), lr=3e-2, momentum=0.9, weight_decay=5e-4)
        for step in range(200):
            batch = slice(BATCH * (step % 8), BATCH * (step % 8 + 1))
            optimizer.zero_grad()
            F.cross_entropy(model.train()(x[batch]), y[batch]).backward()
            optimizer.step()
    assert 1e-5 < difference(models, x, training=False) < 1e-3
    assert difference(models, x[:BATCH], training=True) < 1e-9
