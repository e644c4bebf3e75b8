"""The torch-free layer shapes are those of the torch modules."""

import pytest
import torch
from torch import nn

from asapbench.models import build
from asapbench.suite.catalog import MODELS
from asapbench.suite.load import load
from asapbench.suite.shapes import checkpoint_bytes, layer_shapes, training_multiplications

CASES = [
    (name, options, size)
    for name in MODELS
    for options, size in [({}, 32), ({}, 28)]
] + [("alexnet", {"kernel": 5, "conv_bias": True}, 32), ("mlp", {"nonlinear": False, "depth": 3}, 28)]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "size"), CASES)
def test_shapes_equal_the_modules(name: str, options: dict, size: int) -> None:
    choice = MODELS[name].choose(options | ({"width": 4} if name != "mlp" else {}))
    model = build(choice, channels=3, size=size, classes=7).eval()
    found: list[tuple[str, int, int, bool]] = []
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda m, _, out, path=path: found.append((path, m.weight.numel(), out[0].numel(), m.bias is not None))
            )
    model(torch.zeros(1, 3, size, size))
    shapes = layer_shapes(choice, channels=3, size=size, classes=7)
    assert sorted((s.name, s.weights, s.units, s.bias) for s in shapes) == sorted(found)
    assert [s.name for s in shapes] == [path for path, *_ in found]


def test_resnet18_has_the_published_arithmetic() -> None:
    """0.56 G multiply-adds forward for 32x32 images, known for the CIFAR ResNet-18."""
    cell = next(cell for cell in load("cifar10").cells if cell.model.name == "resnet18")
    shapes = layer_shapes(cell.model, channels=3, size=32, classes=10)
    assert sum(shape.multiplications for shape in shapes) == pytest.approx(0.556e9, rel=0.01)
    assert training_multiplications(cell) == pytest.approx(3 * 0.556e9 * 50_000, rel=0.08)
    assert checkpoint_bytes(cell) == pytest.approx(8 * 11.17e6, rel=0.01)
