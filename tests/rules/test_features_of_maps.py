"""What local heads compute of maps on a CPU by faster ways equals what PyTorch computes: values, gradients, order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.rules.engine import deviation as statistics
from asapbench.rules.engine.criterion import one_hot
from asapbench.rules.engine.deviation import deviation
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.local import average
from asapbench.rules.engine.similarity import decoded, similarity, similarity_of_labels

ORDERS = [torch.contiguous_format, torch.channels_last]


def drawn(*shape: int, order: torch.memory_format, dtype: torch.dtype = torch.float64) -> Tensor:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 3
    return maps.to(dtype).contiguous(memory_format=order).requires_grad_()


def gradient(out: Tensor, of: Tensor) -> Tensor:
    delta = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (found,) = torch.autograd.grad(out, of, delta.to(out.dtype))
    return found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("window", [(1, 2), (2, 2), (4, 2), (8, 4)])
def test_an_average_and_its_gradient_are_those_of_avg_pool2d(
    order: torch.memory_format, window: tuple[int, int]
) -> None:
    maps = drawn(3, 5, 8, 4, order=order)
    out, expected = average(maps, window), F.avg_pool2d(maps, window)
    assert torch.equal(out, expected)
    assert torch.equal(gradient(out, maps), gradient(expected, maps))
    assert gradient(out, maps).is_contiguous(memory_format=order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cached", [1, 100, 1 << 17])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_deviation_and_its_gradient_are_those_of_std(
    order: torch.memory_format, cached: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_CACHED", cached)
    maps = drawn(5, 7, 4, 3, order=order, dtype=dtype)
    with torch.no_grad():
        maps[1, 2] = 4.0  # without deviation
    exact = maps.detach().double().requires_grad_()
    out, expected = deviation(maps), exact.flatten(2).std(2)
    assert out.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-6)
    found = gradient(out, maps)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=order)
    near = 1e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found.double(), gradient(expected, exact), rtol=near, atol=near)


def test_a_deviation_keeps_maps_as_they_are_and_no_copy_in_float32() -> None:
    maps = drawn(5, 7, 4, 3, order=torch.channels_last, dtype=torch.bfloat16)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        deviation(maps)
    assert {tensor.dtype for tensor in kept if tensor.numel() == maps.numel()} == {torch.bfloat16}


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_similarity_of_labels_is_that_of_one_hot_vectors(classes: int) -> None:
    y = torch.randint(0, classes, (40,), generator=torch.Generator().manual_seed(3))
    expected = similarity(one_hot(y, classes).double())
    torch.testing.assert_close(similarity_of_labels(y, classes, torch.float64), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("feedback", [False, True])
def test_maps_in_channels_last_are_decoded_as_those_in_contiguous_order(feedback: bool) -> None:
    decoder = nn.Linear(7 * 4 * 3, 5).double()
    layer: nn.Linear | FeedbackLayer = decoder
    if feedback:
        layer = FeedbackLayer(decoder, "fixed")
        layer.draw(init="random", seed=1, name="decoder")
    found = []
    for order in ORDERS:
        maps = drawn(6, 7, 4, 3, order=order)
        logits = decoded(maps, layer)
        found.append([logits, *torch.autograd.grad(logits.square().sum(), [maps, decoder.weight, decoder.bias])])
        assert found[-1][1].is_contiguous(memory_format=order)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
