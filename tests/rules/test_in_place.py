"""In-place activations and additions give the same bits as their twins that allocate."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asapbench.rules import attach
from asapbench.suite.catalog import RULES


class Block(nn.Module):
    def __init__(self, channels: int, outputs: int, *, stride: int, in_place: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, outputs, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=in_place)
        self.down = nn.Conv2d(channels, outputs, 1, stride=stride, bias=False) if stride > 1 else nn.Identity()
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.in_place:
            out += self.down(x)
        else:
            out = out + self.down(x)
        activated: Tensor = self.relu(out)
        return activated


class Net(nn.Module):
    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.bn, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=in_place)
        self.blocks = nn.Sequential(
            *(Block(c, o, stride=s, in_place=in_place) for c, o, s in ((4, 4, 1), (4, 6, 2), (6, 6, 1)))
        )
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn(self.stem(x))))
        logits: Tensor = self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


@pytest.mark.parametrize("rule", [rule for rule, entry in RULES.items() if entry.needs != "linear"])
def test_in_place_operations_change_no_bit(rule: str) -> None:
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(5, 3, 12, 12, generator=draw), torch.randint(3, (5,), generator=draw)
    found = []
    for in_place in (False, True):
        learner = attach(Net(in_place=in_place), rule, x, seed=2)
        learner.backward(x, y)
        found.append({name: p.grad for name, p in learner.trained_parameters()})
        if RULES[rule].projects_errors:
            tensors = [projection.weight.flatten() for projection in learner.projections.values()]
            found[-1]["projections"] = torch.cat(tensors)
    assert set(found[0]) == set(found[1])
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name
