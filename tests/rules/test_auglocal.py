"""AugLocal's auxiliary networks are its authors', and are made of any network whose units can be copied."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.rules.auglocal import followers
from asapbench.rules.engine.auxiliary import CopiedLayers
from asapbench.rules.engine.local import LocalLearner
from asapbench.suite.catalog import MODELS, RULES


def learner_on(model: nn.Module, size: int = 16, **options: str | float) -> LocalLearner:
    learner = attach(model, RULES["auglocal"].choose(options), torch.zeros(2, 3, size, size))
    assert isinstance(learner, LocalLearner)
    return learner


def resnet32() -> nn.Module:
    choice = MODELS["resnet32"].choose({"width": 16, "shortcut": "B"})
    return build(choice, channels=3, size=32, classes=10)


@pytest.mark.parametrize(
    ("depth", "depths", "parameters"),
    [
        (1, [1] * 14, [48_266] * 6 + [58_506] * 5 + [74_762] * 3),
        (2, [2] * 13, [72_906] * 6 + [76_938] + [132_362] * 4 + [148_618] * 2),
        (3, [3] * 6 + [2] * 6, [77_578, 91_466] + [146_890] * 4 + [76_938] + [132_362] * 4 + [148_618]),
    ],
)
def test_auxiliary_networks_of_resnet_32_are_those_of_the_authors_program(
    depth: int, depths: list[int], parameters: list[int]
) -> None:
    """What github.com/ChenxiangMA/AugLocal, commit 98c90d6, builds: `AuxNetwork` for a pyramid coefficient of 0.5.

    With the same weights both have the same loss and gradients, to the last bit (tried by hand in float64).
    """
    heads = [head for head in learner_on(resnet32(), 32, depth=depth).heads if isinstance(head, CopiedLayers)]
    assert [len(head.copies) for head in heads] == depths
    assert [sum(p.numel() for p in head.parameters()) for head in heads] == parameters


def test_the_last_layers_are_trained_by_the_output() -> None:
    learner = learner_on(resnet32(), 32)
    assert learner.units[-1] == "stages.2.1.conv2"
    logits, _ = learner.program(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))
    logits.sum().backward()
    reached = {name.rpartition(".")[0] for name, p in learner.model.named_parameters() if p.grad is not None}
    assert {name for name in reached if "conv" in name} == {f"stages.2.{b}.conv{c}" for b in (2, 3, 4) for c in (1, 2)}


@pytest.mark.parametrize("layers", [1, 2, 5, 16, 55])
@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_copied_layers_follow_the_unit_in_order_and_end_with_the_last(layers: int, depth: int) -> None:
    for number in range(layers):
        found = followers(number, layers=layers, depth=depth)
        assert found == sorted(set(found))
        assert len(found) == min(depth, layers - 1 - number)
        assert all(number < place < layers for place in found)
        assert not found or found[-1] == layers - 1


def test_copies_are_drawn_for_each_unit_and_not_copied_from_the_network() -> None:
    model = resnet32()
    initialise(model, 1)
    learner = learner_on(model, 32)
    weights = [head.get_parameter("copies.1.stages.2.4.conv2.weight") for head in learner.heads]
    assert len({weight.sum().item() for weight in weights}) == len(weights)
    assert not torch.equal(weights[0], model.get_parameter("stages.2.4.conv2.weight"))


class PreActivation(nn.Module):
    """A block that begins with BatchNorm and ReLU, in place."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1, stride=outputs // inputs, bias=False)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.beside = nn.Conv2d(inputs, outputs, 1, stride=2) if outputs > inputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.relu(self.norm(x))
        out: Tensor = self.two(self.relu(self.one(h))) + self.beside(x)
        return out


def test_pre_activation_blocks_are_copied_where_the_network_names_their_ends() -> None:
    blocks = [PreActivation(a, b) for a, b in ((4, 4), (4, 8), (8, 8), (8, 16), (16, 16))]
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), *blocks, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )
    with pytest.raises(GraphError, match=r"^2\.two: its unit reads .* name the submodules that end a unit"):
        learner_on(model)
    model.unit_ends = [str(place) for place in range(len(blocks) + 1)]
    learner = learner_on(model)
    learner.backward(torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 3]))
    assert all(p.grad is not None and p.grad.isfinite().all() for _, p in learner.trained_parameters())
    assert [len(head.copies) for head in learner.heads if isinstance(head, CopiedLayers)] == [2, 2, 2]


def test_a_unit_that_reads_two_tensors_is_refused_by_name() -> None:
    with pytest.raises(GraphError, match=r"^stages\.\S+: its unit reads .* and .*use unit = block"):
        learner_on(resnet32(), 32, unit="conv")


def test_a_layer_that_cannot_be_made_to_fit_is_refused_by_name() -> None:
    layers = OrderedDict(
        c0=nn.Conv2d(3, 3, 3, padding=1), r0=nn.ReLU(),
        c1=nn.Conv2d(3, 4, 3, padding=1), r1=nn.ReLU(),
        c2=nn.Conv2d(4, 8, 3, padding=1, groups=4), r2=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=nn.Linear(8, 10),
    )  # fmt: skip
    learner_on(nn.Sequential(layers), unit="conv", depth=2)
    with pytest.raises(GraphError, match=r"^c2: its unit cannot be copied behind c0, whose output has the shape \(3,"):
        learner_on(nn.Sequential(layers), unit="conv", depth=1)
