"""Attaching leaves torch's random stream where it was, and written-out attention drops nothing in evaluation."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.rules import attach

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Tokens(nn.Module):
    """Attention with dropout, by nn.MultiheadAttention or by a function that has no mode."""

    def __init__(self, *, module: bool) -> None:
        super().__init__()
        self.patch, self.module = nn.Conv2d(3, 8, 4, 4), module
        self.attention, self.head = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        if self.module:
            h = h + self.attention(h, h, h)[0]
        else:
            h = h + F.scaled_dot_product_attention(h, h, h, dropout_p=0.5)
        logits: Tensor = self.head(h.mean(1))
        return logits


@pytest.mark.parametrize("module", [True, False])
def test_attaching_draws_nothing(module: bool) -> None:
    model = Tokens(module=module)
    before = torch.get_rng_state()
    attach(model, "fa", X)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_copied_program_has_a_mode_of_its_own() -> None:
    model = Tokens(module=True)
    program = attach(model, "fa", X).program
    other = copy.deepcopy(program).eval()
    assert torch.equal(other(X), other(X))
    assert not torch.equal(program(X), program(X))
    assert model.attention.training
