"""The pooling in front of predsim's decoder: height and width doubled in turn until 4096 features are left."""

from __future__ import annotations

from functools import partial

import heads_oracle
import numpy as np
import pytest
import torch
from torch import nn

from asapbench.rules.engine.similarity import Prediction, Similarity, averaged, pooling_window


@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((64, 32, 32), (4, 4)),
        ((128, 16, 16), (4, 2)),
        ((256, 8, 8), (2, 2)),
        ((512, 4, 4), (2, 1)),
        ((64, 8, 8), (1, 1)),
        ((192, 19, 17), (8, 4)),
        ((5000, 1, 1), (1, 1)),
        ((5000,), (1, 1)),
    ],
)
def test_the_windows_of_the_networks_of_the_paper(shape: tuple[int, ...], window: tuple[int, int]) -> None:
    assert pooling_window(torch.Size((2, *shape))) == window


@pytest.mark.parametrize("size", [(24, 24), (23, 25)])
def test_a_head_that_pools_equals_the_oracle(size: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(4)
    h = torch.randn(3, 8, *size, dtype=torch.float64, generator=draw, requires_grad=True)
    y = torch.tensor([1, 0, 2])
    window = pooling_window(h.shape)
    assert window == (2, 1)
    features = 8 * -(-size[0] // 2) * size[1]
    decoder = nn.Linear(features, 3, dtype=torch.float64)
    tensors = {"decoder.weight": decoder.weight.detach().numpy(), "decoder.bias": decoder.bias.detach().numpy()}
    targets = torch.randn(3, 5, dtype=torch.float64, generator=draw)
    pairs = (
        (Prediction(window, decoder), heads_oracle.predsim(tensors, unit="u", classes=3, loss="pred")),
        (
            Similarity(partial(averaged, window=window), 3, targets),
            heads_oracle.predsim({"targets": targets.numpy()}, unit="u", classes=3, loss="sim", bpf=True),
        ),
    )
    for head, expected in pairs:
        (found,) = torch.autograd.grad(head(h, y), h)
        outcome = expected(h.detach().numpy(), y.numpy())
        assert head(h, y).item() == pytest.approx(outcome.loss, rel=1e-12)
        np.testing.assert_allclose(found.numpy(), outcome.delta.reshape(h.shape), rtol=1e-9, atol=1e-14)
