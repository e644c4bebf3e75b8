"""Whose input each convolution's weight gradient is formed from, against tables written by hand from Algorithm 1."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.models import build
from asapbench.rules.engine.graph import Dataflow, capture
from asapbench.rules.sharing import shared_activations
from asapbench.suite.catalog import MODELS

RESNET18 = """
    stem 0.0.conv1 0.0.conv2 0.1.conv1 0.1.conv2 1.0.conv1 1.0.conv2 1.1.conv1 1.1.conv2
    2.0.conv1 2.0.conv2 2.1.conv1 2.1.conv2 3.0.conv1 3.0.conv2 3.1.conv1 3.1.conv2"""
RESNET34 = """
    stem 0.0.conv1 0.0.conv2 0.1.conv1 0.1.conv2 0.2.conv1 0.2.conv2
    1.0.conv1 1.0.conv2 1.1.conv1 1.1.conv2 1.2.conv1 1.2.conv2 1.3.conv1 1.3.conv2
    2.0.conv1 2.0.conv2 2.1.conv1 2.1.conv2 2.2.conv1 2.2.conv2 2.3.conv1 2.3.conv2
    2.4.conv1 2.4.conv2 2.5.conv1 2.5.conv2 3.0.conv1 3.0.conv2 3.1.conv1 3.1.conv2 3.2.conv1 3.2.conv2"""

# One line a group: the convolutions whose dW is formed from the input of the one in front of the arrow.
TABLES = {
    ("resnet18", 1): """
        0.0.conv1 -> 0.0.conv2
        0.0.conv2 -> 0.1.conv1
        0.1.conv1 -> 0.1.conv2
        0.1.conv2 -> 1.0.conv1 1.0.projection
        1.0.conv1 -> 1.0.conv2
        1.0.conv2 -> 1.1.conv1
        1.1.conv1 -> 1.1.conv2
        1.1.conv2 -> 2.0.conv1 2.0.projection
        2.0.conv1 -> 2.0.conv2
        2.0.conv2 -> 2.1.conv1
        2.1.conv1 -> 2.1.conv2
        2.1.conv2 -> 3.0.conv1 3.0.projection
        3.0.conv1 -> 3.0.conv2
        3.0.conv2 -> 3.1.conv1
        3.1.conv1 -> 3.1.conv2""",
    ("resnet18", 2): """
        0.0.conv1 -> 0.0.conv2 0.1.conv1
        0.1.conv1 -> 0.1.conv2 1.0.conv1 1.0.projection
        1.0.conv1 -> 1.0.conv2 1.1.conv1
        1.1.conv1 -> 1.1.conv2 2.0.conv1 2.0.projection
        2.0.conv1 -> 2.0.conv2 2.1.conv1
        2.1.conv1 -> 2.1.conv2 3.0.conv1 3.0.projection
        3.0.conv1 -> 3.0.conv2 3.1.conv1
        3.1.conv1 -> 3.1.conv2""",
    ("resnet18", 4): """
        0.0.conv1 -> 0.0.conv2 0.1.conv1 0.1.conv2 1.0.conv1 1.0.projection
        1.0.conv1 -> 1.0.conv2 1.1.conv1 1.1.conv2 2.0.conv1 2.0.projection
        2.0.conv1 -> 2.0.conv2 2.1.conv1 2.1.conv2 3.0.conv1 3.0.projection
        3.0.conv1 -> 3.0.conv2 3.1.conv1 3.1.conv2""",
    ("resnet34", 2): """
        0.0.conv1 -> 0.0.conv2 0.1.conv1
        0.1.conv1 -> 0.1.conv2 0.2.conv1
        0.2.conv1 -> 0.2.conv2 1.0.conv1 1.0.projection
        1.0.conv1 -> 1.0.conv2 1.1.conv1
        1.1.conv1 -> 1.1.conv2 1.2.conv1
        1.2.conv1 -> 1.2.conv2 1.3.conv1
        1.3.conv1 -> 1.3.conv2 2.0.conv1 2.0.projection
        2.0.conv1 -> 2.0.conv2 2.1.conv1
        2.1.conv1 -> 2.1.conv2 2.2.conv1
        2.2.conv1 -> 2.2.conv2 2.3.conv1
        2.3.conv1 -> 2.3.conv2 2.4.conv1
        2.4.conv1 -> 2.4.conv2 2.5.conv1
        2.5.conv1 -> 2.5.conv2 3.0.conv1 3.0.projection
        3.0.conv1 -> 3.0.conv2 3.1.conv1
        3.1.conv1 -> 3.1.conv2 3.2.conv1
        3.2.conv1 -> 3.2.conv2""",
    ("resnet34", 4): """
        0.0.conv1 -> 0.0.conv2 0.1.conv1 0.1.conv2 0.2.conv1
        0.2.conv1 -> 0.2.conv2 1.0.conv1 1.0.projection 1.0.conv2 1.1.conv1
        1.1.conv1 -> 1.1.conv2 1.2.conv1 1.2.conv2 1.3.conv1
        1.3.conv1 -> 1.3.conv2 2.0.conv1 2.0.projection 2.0.conv2 2.1.conv1
        2.1.conv1 -> 2.1.conv2 2.2.conv1 2.2.conv2 2.3.conv1
        2.3.conv1 -> 2.3.conv2 2.4.conv1 2.4.conv2 2.5.conv1
        2.5.conv1 -> 2.5.conv2 3.0.conv1 3.0.projection 3.0.conv2 3.1.conv1
        3.1.conv1 -> 3.1.conv2 3.2.conv1 3.2.conv2""",
}


def table(text: str) -> dict[str, str]:
    groups = {}
    for line in text.split("\n"):
        if "->" in line:
            leader, members = line.split("->")
            groups |= dict.fromkeys(members.split(), leader.strip())
    return groups


def groups_of(flow: Dataflow, k: int) -> dict[str, str | None]:
    """For each convolution that of the main path whose input it shares."""
    reads = {layer.node.args[0]: layer.name for layer in flow.main}
    return {name: reads[node] if node is not None else None for name, node in shared_activations(flow, k).items()}


def small(name: str, **options: int) -> nn.Module:
    return build(MODELS[name].choose({"width": 2} | options), channels=3, size=32, classes=10)


def ours(name: str) -> str:
    return name if name == "stem" else f"stages.{name}" + (".0" if name.endswith("projection") else "")


def torchvisions(name: str) -> str:
    if name == "stem":
        return "conv1"
    stage, block, conv = name.split(".")
    return f"layer{int(stage) + 1}.{block}." + ("downsample.0" if conv == "projection" else conv)


@pytest.mark.parametrize(("name", "k"), TABLES)
def test_resnets_follow_the_table(name: str, k: int) -> None:
    flow = capture(small(name), torch.randn(2, 3, 32, 32))
    path = {"resnet18": RESNET18, "resnet34": RESNET34}[name].split()
    assert [layer.name for layer in flow.main] == [ours(conv) for conv in path]
    expected = {ours(conv): ours(leader) for conv, leader in table(TABLES[name, k]).items()}
    assert groups_of(flow, k) == {"stem": None, "stages.0.0.conv1": None} | expected


@pytest.mark.parametrize("k", [1, 2, 4])
def test_torchvisions_resnet_has_the_same_groups_though_its_shortcuts_execute_last(k: int) -> None:
    with torch.device("meta"):
        model = torchvision.models.resnet18(num_classes=10)
    flow = capture(model, torch.empty(2, 3, 64, 64))
    executed = [layer.name for layer in flow.layers]
    assert executed.index("layer2.0.downsample.0") > executed.index("layer2.0.conv2")
    assert [layer.name for layer in flow.main] == [torchvisions(conv) for conv in RESNET18.split()]
    expected = {torchvisions(conv): torchvisions(leader) for conv, leader in table(TABLES["resnet18", k]).items()}
    assert groups_of(flow, k) == {"conv1": None, "layer1.0.conv1": None} | expected


def test_without_shortcuts_the_groups_are_the_same() -> None:
    flow = capture(small("resnet18_nsc"), torch.randn(2, 3, 32, 32))
    expected = {ours(conv): ours(leader) for conv, leader in table(TABLES["resnet18", 2]).items()}
    assert not flow.shortcuts
    assert {name: leader for name, leader in groups_of(flow, 2).items() if leader} == {
        name: leader for name, leader in expected.items() if "projection" not in name
    }


@pytest.mark.parametrize("k", [1, 2, 4])
def test_alexnets_third_convolution_shares_the_seconds_input(k: int) -> None:
    flow = capture(small("alexnet", hidden=8), torch.randn(2, 3, 32, 32))
    assert groups_of(flow, k) == {"features.0": None, "features.4": None, "features.8": "features.4"}


def test_shared_activations_are_the_inputs_and_not_the_outputs() -> None:
    """c2 and c3 of ResNet-18 (k = 2) share the stem's output, after BatchNorm and ReLU."""
    flow = capture(small("resnet18"), torch.randn(2, 3, 32, 32))
    shared = shared_activations(flow, 2)
    assert shared["stages.0.0.conv2"] is shared["stages.0.1.conv1"]
    assert str(shared["stages.0.0.conv2"]) == "stem_relu"


class ShortcutFirst(nn.Module):
    """Its shortcut executes before the main path."""

    def __init__(self) -> None:
        super().__init__()
        self.c0, self.c1, self.c2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.c3, self.side = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.c1(torch.relu(self.c0(x))))
        side = self.side(x)
        x = torch.relu(self.c3(torch.relu(self.c2(x))) + side)
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def test_a_shortcut_that_executes_first_shares_as_the_convolution_that_reads_its_tensor() -> None:
    flow = capture(ShortcutFirst(), torch.randn(2, 3, 12, 12))
    assert [layer.name for layer in flow.main] == ["c0", "c1", "c2", "c3"]
    assert groups_of(flow, 2) == {"c0": None, "c1": None, "c2": "c1", "c3": "c1", "side": "c1"}
    assert groups_of(flow, 1) == {"c0": None, "c1": None, "c2": "c1", "c3": "c2", "side": "c1"}


def test_a_shortcut_beside_no_convolution_is_refused_by_name() -> None:
    class Stray(ShortcutFirst):
        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.c1(torch.relu(self.c0(x))))
            x = torch.relu(self.c3(torch.relu(self.c2(x))) + self.side(torch.tanh(x)))
            logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
            return logits

    with pytest.raises(GraphError, match="side"):
        shared_activations(capture(Stray(), torch.randn(2, 3, 12, 12)), 2)
