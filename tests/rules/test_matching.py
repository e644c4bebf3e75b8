"""Dimension matching (D.2), against clones and pools written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from asapbench.errors import GraphError
from asapbench.rules.engine.matching import matcher


def test_a_smaller_map_is_refused_by_name() -> None:
    with pytest.raises(GraphError, match=r"layer9: its shared activation has maps of 4x8, smaller than .* 5x5"):
        matcher(
            "max", torch.Size((1, 2, 4, 8)), torch.Size((1, 2, 5, 5)), layer=nn.Conv2d(2, 2, 1), seed=0, name="layer9"
        )


def test_random_matching_is_the_identity_where_the_shapes_agree() -> None:
    shape = torch.Size((2, 3, 5, 5))
    shared = torch.randn(shape)
    assert torch.equal(matcher("random", shape, shape, layer=nn.Conv2d(3, 2, 1), seed=0, name="c")(shared), shared)


def test_random_kernels_have_no_bias_and_are_drawn_by_seed_and_layer() -> None:
    shared, wanted = torch.Size((2, 3, 8, 8)), torch.Size((2, 6, 4, 4))

    def kernel(seed: int, name: str) -> torch.Tensor:
        module = matcher("random", shared, wanted, layer=nn.Conv2d(6, 2, 1), seed=seed, name=name)
        assert not list(module.parameters())
        assert not module.state_dict()
        assert not module(torch.zeros(shared)).any()
        return module.get_buffer("weight")

    assert torch.equal(kernel(1, "a"), kernel(1, "a"))
    assert not torch.equal(kernel(1, "a"), kernel(1, "b"))
    assert not torch.equal(kernel(1, "a"), kernel(2, "a"))


def test_no_gradient_passes_a_shared_activation() -> None:
    shared = torch.randn(2, 3, 8, 8, requires_grad=True)
    for mode in ("max", "average", "random"):
        module = matcher(mode, shared.shape, torch.Size((2, 6, 4, 4)), layer=nn.Conv2d(6, 2, 1), seed=0, name="c")
        assert not module(shared).requires_grad
