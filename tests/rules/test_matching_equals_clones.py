"""Dimension matching (D.2) of any shapes equals clones and pools written out."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from asapbench.rules.engine.functions import FeedbackConv2d, Geometry
from asapbench.rules.engine.matching import matcher, tiled


@given(
    channels=st.integers(1, 7),
    wanted_channels=st.integers(1, 15),
    maps=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    data=st.data(),
    mode=st.sampled_from(["max", "average"]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_clones_are_concatenated_then_pooled(
    channels: int, wanted_channels: int, maps: tuple[int, int], data: st.DataObject, mode: str
) -> None:
    height, width = maps
    size = (data.draw(st.integers(1, height)), data.draw(st.integers(1, width)))
    draw = torch.Generator().manual_seed(channels + 10 * height + 100 * width)
    shared = torch.randn(2, channels, height, width, generator=draw, dtype=torch.float64)
    layer = nn.Conv2d(wanted_channels, 1, 1)
    wanted = torch.Size((2, wanted_channels, *size))
    found = tiled(matcher(mode, shared.shape, wanted, layer=layer, seed=0, name="c")(shared), wanted_channels)
    clones = torch.cat([shared] * wanted_channels, 1)[:, :wanted_channels]
    pool = nn.AdaptiveMaxPool2d(size) if mode == "max" else nn.AdaptiveAvgPool2d(size)
    assert found.shape == wanted
    torch.testing.assert_close(found, pool(clones), rtol=1e-13, atol=1e-13)


@given(channels=st.integers(1, 5), wanted=st.integers(1, 9), stride=st.integers(1, 2), padding=st.integers(0, 2))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_one_block_repeated_is_the_gradient_of_the_clones(
    channels: int, wanted: int, stride: int, padding: int
) -> None:
    """A source with fewer channels than the layer gives the bits' worth of the materialised one."""
    draw = torch.Generator().manual_seed(wanted)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    x, weight, feedback = randn(2, wanted, 6, 6), randn(4, wanted, 3, 3), randn(4, wanted, 3, 3)
    block = randn(2, min(channels, wanted), 6, 6)
    geometry = Geometry((stride, stride), (padding, padding), (1, 1), 1)
    found = []
    for source in (block, tiled(block, wanted)):
        leaves = [t.clone().requires_grad_() for t in (x, weight, feedback)]
        out = FeedbackConv2d.apply(leaves[0], leaves[1], None, leaves[2], None, source, None, geometry)
        delta = torch.ones_like(out).cumsum(0).cumsum(2)
        out.backward(delta)
        found.append([leaf.grad for leaf in leaves])
        reference = weight.clone().requires_grad_()
        own = tiled(block, wanted).requires_grad_()
        nn.functional.conv2d(own, reference, stride=stride, padding=padding).backward(delta)
        torch.testing.assert_close(leaves[1].grad, reference.grad, rtol=1e-12, atol=1e-12)
        back = x.clone().requires_grad_()
        nn.functional.conv2d(back, feedback, stride=stride, padding=padding).backward(delta)
        torch.testing.assert_close(leaves[0].grad, back.grad, rtol=1e-12, atol=1e-12)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
