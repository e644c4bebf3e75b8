"""A model in channels-last gets gradients in channels-last: of another order each would be copied before it is used."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.rules.engine.matching import tiled
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Choice

CHOICES = [
    *(entry.choose() for entry in RULES.values() if entry.needs != "linear"),
    RULES["asap"].choose({"matching": "average", "k": 4}),
    RULES["asap"].choose({"matching": "random"}),
    RULES["predsim"].choose({"bpf": True}),
    RULES["sign_symmetry"].choose({"variant": "brsf"}),
]


def order_of(tensor: Tensor) -> list[int]:
    """Strides, but of dimensions of size 1, which say nothing."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"{c.name}-{'-'.join(str(v) for _, v in c.options)}")
@pytest.mark.parametrize("name", ["resnet10", "alexnet"])
def test_every_gradient_lies_in_memory_as_its_weight(choice: Choice, name: str) -> None:
    model = build(MODELS[name].choose({"width": 8}), channels=3, size=16, classes=6)
    initialise(model, 1)
    x, y = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.arange(6)
    learner = attach(model, choice, x, seed=2)
    learner.to(memory_format=torch.channels_last)
    orders: dict[str, list[int]] = {}

    def note(gradient: Tensor, of: str) -> None:  # as it comes, before autograd copies it to the weight's order
        orders[of] = order_of(gradient)

    weights = dict(learner.trained_parameters())
    for of, weight in weights.items():
        weight.register_hook(partial(note, of=of))
    learner.backward(x.contiguous(memory_format=torch.channels_last), y)
    assert orders == {of: order_of(weight) for of, weight in weights.items()}


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (4, 3, 1, 1), (5, 2, 3, 2)])
@pytest.mark.parametrize("channels", [2, 3, 5, 6, 16])
def test_a_repeated_block_keeps_its_numbers_and_its_order(shape: tuple[int, ...], channels: int) -> None:
    block = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for order in (torch.contiguous_format, torch.channels_last):
        found = tiled(block.contiguous(memory_format=order), channels)
        assert found.is_contiguous(memory_format=order)
        assert torch.equal(found, torch.cat([block] * 16, 1)[:, :channels])
