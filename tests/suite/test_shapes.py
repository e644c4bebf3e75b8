"""The torch-free layer shapes are those of the torch modules."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from asapbench.models import build
from asapbench.models.networks.measured import layers
from asapbench.rules import attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.load import load
from asapbench.suite.options import Choice
from asapbench.suite.shapes import checkpoint_bytes, layer_shapes, training_multiplications

CASES = [
    (name, options, size)
    for name in MODELS
    for options, size in [({}, 32), ({}, 28)]
] + [
    ("alexnet", {"kernel": 5, "conv_bias": True}, 32),
    ("mlp", {"nonlinear": False, "depth": 3}, 28),
    ("mlp", {"batchnorm": False, "logits_batchnorm": False}, 28),
    ("resnet20", {"shortcut": "B"}, 28),
]  # fmt: skip


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


@pytest.mark.parametrize(("name", "options", "size"), CASES)
def test_what_a_layer_passes_on_is_what_the_next_one_reads(name: str, options: dict, size: int) -> None:
    """On the main path; the global average pool of a ResNet stands between its last convolution and its classifier."""
    choice = MODELS[name].choose(options | ({"width": 4} if name != "mlp" else {}))
    model = build(choice, channels=3, size=size, classes=7).eval()
    read: dict[str, int] = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(lambda _, args, path=path: read.update({path: args[0][0].numel()}))
    model(torch.zeros(1, 3, size, size))
    shapes = layer_shapes(choice, channels=3, size=size, classes=7)
    assert [s.name for s in shapes if s.shortcut] == [s.name for s in shapes if "projection" in s.name]
    main = [shape for shape in shapes if not shape.shortcut]
    for before, after in pairwise(main):
        averaged = before.size**2 if name.startswith("resnet") and after.kind == "linear" else 1
        assert before.activations == read[after.name] * averaged, after.name


@pytest.mark.parametrize(("name", "options", "size"), CASES)
def test_parameters_equal_the_modules(name: str, options: dict, size: int) -> None:
    choice = MODELS[name].choose(options)
    model = build(choice, channels=3, size=size, classes=7)
    shapes = layer_shapes(choice, channels=3, size=size, classes=7)
    assert sum(shape.parameters for shape in shapes) == sum(p.numel() for p in model.parameters())


def test_modules_that_return_several_tensors_are_passed_over() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = self.conv(x)
            return h, h.mean((2, 3))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.fc = Twice(), nn.Linear(4, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(self.twice(x)[1])
            return logits

    def made(_choice: Choice, **_sizes: int) -> nn.Module:
        return Network()

    found = layers(made, MODELS["mlp"].choose(), channels=3, size=8, classes=7)
    assert [(layer.name, layer.kind, layer.size) for layer in found] == [("twice.conv", "conv", 6), ("fc", "linear", 1)]


def test_resnet18_has_the_published_arithmetic() -> None:
    """0.56 G multiply-adds forward for 32x32 images, known for the CIFAR ResNet-18."""
    cell = next(cell for cell in load("cifar10").cells if cell.model.name == "resnet18")
    shapes = layer_shapes(cell.model, channels=3, size=32, classes=10)
    assert sum(shape.multiplications for shape in shapes) == pytest.approx(0.556e9, rel=0.01)
    assert training_multiplications(cell.model, cell.dataset) == pytest.approx(3 * 0.556e9 * 50_000, rel=0.08)
    assert checkpoint_bytes(cell) == pytest.approx(8 * 11.17e6, rel=0.01)


@pytest.mark.parametrize(
    "rule", ["bp", "asfp", "asfp_lc", "local_errors", "predsim", "dgl", "dkp", "phsic", "auglocal"]
)
def test_a_checkpoints_size_counts_what_the_rule_learns(rule: str) -> None:
    cell = replace(load("cifar10").cells[0], model=MODELS["resnet18"].choose({"width": 32}), rule=RULES[rule].choose())
    learner = attach(build(cell.model, channels=3, size=32, classes=10), cell.rule, torch.zeros(2, 3, 32, 32))
    learned = sum(parameter.numel() for _, parameter in learner.trained_parameters())
    assert checkpoint_bytes(cell) == pytest.approx(8 * learned, rel=0.25)
