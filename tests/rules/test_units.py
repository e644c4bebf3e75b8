"""Where units of local learning end, against lists written by hand, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.models import build
from asapbench.rules import attach
from asapbench.rules.engine.graph import capture
from asapbench.rules.engine.units import Unit, separate, units_of
from asapbench.suite.catalog import MODELS, RULES

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def model_of(name: str) -> nn.Module:
    options = {key: 2 for key in ("width", "hidden") if key in {option.name for option in MODELS[name].options}}
    return build(MODELS[name].choose(options), channels=3, size=16, classes=3)


def units(model: nn.Module, kind: str) -> list[Unit]:
    return units_of(kind, model, capture(model, X))


def described(found: list[Unit]) -> list[str]:
    return [f"{' '.join(unit.layers)} -> {unit.end.target}" for unit in found]


EXPECTED = {
    ("alexnet", "conv"): """
        features.0 -> features.3
        features.4 -> features.7
        features.8 -> features.11
        hidden.0 -> hidden.2
        hidden.3 -> hidden.5""",
    ("mlp", "conv"): """
        hidden.0 -> hidden.2
        hidden.3 -> hidden.5""",
    ("resnet10", "block"): """
        stem -> stem_relu
        stages.0.0.conv1 stages.0.0.conv2 -> stages.0.0.relu2
        stages.1.0.conv1 stages.1.0.conv2 stages.1.0.projection.0 -> stages.1.0.relu2
        stages.2.0.conv1 stages.2.0.conv2 stages.2.0.projection.0 -> stages.2.0.relu2
        stages.3.0.conv1 stages.3.0.conv2 stages.3.0.projection.0 -> stages.3.0.relu2""",
    ("resnet10_nsc", "block"): """
        stem -> stem_relu
        stages.0.0.conv1 stages.0.0.conv2 -> stages.0.0.relu2
        stages.1.0.conv1 stages.1.0.conv2 -> stages.1.0.relu2
        stages.2.0.conv1 stages.2.0.conv2 -> stages.2.0.relu2
        stages.3.0.conv1 stages.3.0.conv2 -> stages.3.0.relu2""",
    ("resnet10", "conv"): """
        stem -> stem_relu
        stages.0.0.conv1 -> stages.0.0.relu1
        stages.0.0.conv2 -> stages.0.0.relu2
        stages.1.0.conv1 -> stages.1.0.relu1
        stages.1.0.conv2 stages.1.0.projection.0 -> stages.1.0.relu2
        stages.2.0.conv1 -> stages.2.0.relu1
        stages.2.0.conv2 stages.2.0.projection.0 -> stages.2.0.relu2
        stages.3.0.conv1 -> stages.3.0.relu1
        stages.3.0.conv2 stages.3.0.projection.0 -> stages.3.0.relu2""",
}  # fmt: skip
EXPECTED["vgg8b", "conv"] = """
        features.0 -> features.2
        features.3 -> features.6
        features.7 -> features.9
        features.10 -> features.13
        features.14 -> features.17
        features.18 -> features.21
        hidden.0 -> hidden.2"""
EXPECTED["vgg8b", "block"] = EXPECTED["vgg8b", "conv"]
EXPECTED["alexnet", "block"] = EXPECTED["alexnet", "conv"]
EXPECTED["mlp", "block"] = EXPECTED["mlp", "conv"]


@pytest.mark.parametrize(("name", "kind"), EXPECTED)
def test_units_of_the_catalogs_models(name: str, kind: str) -> None:
    lines = [line.strip() for line in EXPECTED[name, kind].strip().splitlines()]
    assert described(units(model_of(name), kind)) == lines


@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet34", "resnet20"])
def test_residual_blocks_are_found_without_names_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(name)
    named = described(units(model, "block"))
    assert len(named) == {"resnet10": 5, "resnet18": 9, "resnet34": 17, "resnet20": 10}[name]
    monkeypatch.setattr(model, "unit_ends", None)
    assert described(units(model, "block")) == named


def test_torchvisions_max_pool_belongs_to_the_stem() -> None:
    model = torchvision.models.resnet18(num_classes=3)
    blocks, convs = described(units(model, "block")), described(units(model, "conv"))
    assert blocks[0] == convs[0] == "conv1 -> maxpool"
    assert len(blocks) == 1 + 8
    assert len(convs) == 1 + 16
    assert blocks[3] == "layer2.0.conv1 layer2.0.conv2 layer2.0.downsample.0 -> layer2.0.relu"
    assert convs[6] == "layer2.0.conv2 layer2.0.downsample.0 -> layer2.0.relu"


class PreActivation(nn.Module):
    """Shortcuts that read a sum, which is no unit's end: BatchNorm and ReLU come first in each block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(5))
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i in (0, 2):
            h = self.convs[i](torch.relu(self.norms[i](x)))
            x = x + self.convs[i + 1](torch.relu(self.norms[i + 1](h)))
        x = nn.functional.adaptive_avg_pool2d(torch.relu(self.norms[4](x)), 1)
        logits: Tensor = self.fc(x.flatten(1))
        return logits


@pytest.mark.parametrize("kind", ["conv", "block"])
def test_what_bypasses_a_units_end_is_cut_too(kind: str) -> None:
    model = PreActivation()
    learner = attach(model, RULES["local_errors"].choose({"unit": kind}), X)
    logits, losses = learner.program(X, torch.tensor([0, 1]))
    reached = dict.fromkeys(dict(model.named_parameters()), 0)
    for value in (*losses, logits):
        found = torch.autograd.grad(value.sum(), list(model.parameters()), retain_graph=True, allow_unused=True)
        for key, gradient in zip(reached, found, strict=True):
            reached[key] += gradient is not None
    assert set(reached.values()) == {1}


def test_an_end_that_the_next_unit_changes_in_place_keeps_its_bits() -> None:
    found = []
    for in_place in (False, True):
        torch.manual_seed(0)
        model = plain(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=in_place), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=in_place))
        model.unit_ends = ["0", "2"]
        learner = attach(model, RULES["local_errors"].choose({"unit": "block"}), X, seed=1)
        objective = learner.backward(X, torch.tensor([0, 1]))
        found.append([objective.scalar, *(p.grad for p in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_cut_programs_know_which_layers_carry_an_error() -> None:
    model = model_of("resnet10")
    flow = capture(model, X)
    cut = separate(units_of("block", model, flow), flow)
    assert [layer.name for layer in cut.layers if layer.carries_error] == [f"stages.{i}.0.conv2" for i in range(4)]


def plain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def test_a_module_without_blocks_is_refused_with_the_fix() -> None:
    model = plain(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    with pytest.raises(
        GraphError,
        match=r"Sequential: there are no residual blocks .* by the option `unit`, or name",
    ):
        attach(model, RULES["local_errors"].choose({"unit": "block"}), X)
    attach(model, "local_errors", X)
    model.unit_ends = ["1", "3"]
    assert described(units(model, "block")) == ["0 -> 1", "2 -> 3"]


def test_names_may_stand_in_any_order() -> None:
    model = plain(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    model.unit_ends = ["3", "1"]
    assert described(units(model, "block")) == ["0 -> 1", "2 -> 3"]


@pytest.mark.parametrize(("ends", "message"), [(["nine"], "nine: named in"), (["0", "1"], "_1: a unit .* no layer")])
def test_wrong_names_are_refused(ends: list[str], message: str) -> None:
    model = plain(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    model.unit_ends = ends
    with pytest.raises(GraphError, match=message):
        units(model, "block")


def test_a_heads_error_is_sent_back_when_its_unit_is_next() -> None:
    model = model_of("resnet10")
    learner = attach(model, RULES["local_errors"].choose({"unit": "conv"}), X)
    order: list[tuple[str, str]] = []
    for unit, head in zip(learner.units, learner.heads, strict=True):
        head.register_full_backward_pre_hook(lambda *_, unit=unit: order.append(("head", unit)))
        model.get_submodule(unit).weight.register_hook(lambda *_, unit=unit: order.append(("unit", unit)))
    learner.backward(X, torch.tensor([0, 1]))
    assert order == [(what, unit) for unit in reversed(learner.units) for what in ("head", "unit")]


def test_a_unit_in_front_of_a_layer_that_reads_a_concatenation_ends_there() -> None:
    """And a position embedding that is added makes no residual block."""

    class Fire(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.squeeze, self.left = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
            self.right, self.last, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(8, 4, 1), nn.Linear(4, 3)
            self.deep, self.offset = nn.Conv2d(4, 4, 1), nn.Parameter(torch.zeros(1, 4, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.squeeze(x) + self.offset)
            x = torch.cat([self.left(x), torch.relu(self.deep(self.right(x)))], 1)
            logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(torch.relu(self.last(x)), 1).flatten(1))
            return logits

    assert [(*unit.layers, unit.end.name) for unit in units(Fire(), "conv")] == [
        ("squeeze", "relu"),
        ("right", "right"),
        ("left", "deep", "cat"),
        ("last", "relu_2"),
    ]
    with pytest.raises(GraphError, match="no residual blocks"):
        units(Fire(), "block")
