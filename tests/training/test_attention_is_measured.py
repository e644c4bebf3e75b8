"""Angles and gradient quality have rows for both layers of an nn.MultiheadAttention, in_proj and out_proj."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asapbench.metrics import WHOLE_NETWORK
from asapbench.rules import attach
from asapbench.training.alignment import alignment
from asapbench.training.gradient_quality import gradient_quality

draw = torch.Generator().manual_seed(0)
X = torch.randn(4, 3, 8, 8, generator=draw)
Y = torch.randint(3, (4,), generator=draw)
LAYERS = ["patch", "attention.in_proj", "attention.out_proj", "head"]


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        logits: Tensor = self.head((h + self.attention(h, h, h)[0]).mean(1))
        return logits


def test_both_layers_have_angles() -> None:
    rows = alignment(attach(Tokens(), "fa", X), X, Y, epoch=1, precision="float32")
    assert [row.layer for row in rows if row.quantity == "weights"] == LAYERS[1:]
    assert [row.layer for row in rows if row.quantity == "update"] == LAYERS
    assert all(row.degrees is not None for row in rows)


@pytest.mark.parametrize("rule", ["bp", "fa"])
def test_both_layers_have_gradient_quality(rule: str) -> None:
    rows = gradient_quality(attach(Tokens(), rule, X), X, Y, epoch=1, precision="float32", rate=0.01)
    assert [row.layer for row in rows] == [*LAYERS, WHOLE_NETWORK]
    for row in rows[:-1]:
        assert None not in (row.norm_ratio, row.effective_rank, row.bp_effective_rank), row
        if rule == "bp":
            assert row.norm_ratio == pytest.approx(1, rel=1e-5)
            assert row.effective_rank == pytest.approx(row.bp_effective_rank, rel=1e-4)
