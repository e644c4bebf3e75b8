"""Floating-point operations of a layer, against counts by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asapbench.training.flops import counted


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_each_pass_of_a_grouped_convolution_has_the_multiply_adds_of_its_weights(
    kind: type[nn.Conv2d], groups: int
) -> None:
    """Two examples, 16 x 16 places, 8 outputs, 8 / groups inputs, 3 x 3 weights; a multiply-add counts as two."""
    layer = kind(8, 8, 3, padding=1, groups=groups, bias=False, device="meta")
    x = torch.empty(2, 8, 16, 16, device="meta", requires_grad=True)
    by_hand = 2 * 2 * 16 * 16 * (8 // groups) * 8 * 9
    assert counted(lambda: layer(x)) == by_hand
    assert counted(lambda: layer(x).sum().backward()) == 3 * by_hand
    assert counted(lambda: layer(x.detach()).sum().backward()) == 2 * by_hand
