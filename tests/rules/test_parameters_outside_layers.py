"""A parameter outside layers learns from every unit and segment that reads it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.rules import Learner, attach
from asapbench.suite.catalog import RULES

draw = torch.Generator().manual_seed(0)
X = torch.randn(4, 3, 8, 8, generator=draw, dtype=torch.float64)
Y = torch.randint(3, (4,), generator=draw)


class Shared(nn.Module):
    """A scale that the first and the third unit read, as it is or halved by an operation between the two."""

    def __init__(self, *, halved: bool) -> None:
        super().__init__()
        self.c1, self.c2, self.c3 = (nn.Conv2d(i, 4, 3, padding=1) for i in (3, 4, 4))
        self.scale, self.halved, self.fc = nn.Parameter(torch.full((1, 4, 1, 1), 1.3)), halved, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale / 2 if self.halved else self.scale
        h = F.relu(self.c2(F.relu(self.c1(x) * scale)))
        logits: Tensor = self.fc(F.relu(self.c3(h) * scale).mean((2, 3)))
        return logits


def attached(model: nn.Module, rule: str, **options: object) -> Learner:
    return attach(model, RULES[rule].choose(options), X).train()


@pytest.mark.parametrize("rule", ["phsic", "local_errors"])
@pytest.mark.parametrize("halved", [False, True])
def test_the_gradient_is_the_sum_over_the_units(rule: str, halved: bool) -> None:
    torch.manual_seed(0)
    model = Shared(halved=halved).double()
    learner = attached(model, rule)
    learner.backward(X, Y)
    scale = model.scale / 2 if halved else model.scale
    first = F.relu(model.c1(X) * scale)
    second = F.relu(model.c2(first.detach()))
    third = F.relu(model.c3(second.detach()) * scale)
    losses = [head(h, Y) for head, h in zip(learner.heads, (first, second, third), strict=True)]
    (expected,) = torch.autograd.grad(sum(losses), model.scale)
    torch.testing.assert_close(model.scale.grad, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("rule", ["dfa", "pepita"])
def test_an_activation_of_a_parameter_is_no_place_for_an_error(rule: str) -> None:
    class Gated(Shared):
        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.c1(x) * torch.sigmoid(self.scale))
            logits: Tensor = self.fc(F.relu(self.c2(h)).mean((2, 3)))
            return logits

    torch.manual_seed(0)
    model = Gated(halved=False).double()
    attached(model, rule).backward(X, Y)
    assert model.scale.grad is not None
    assert (model.scale.grad != 0).all()


def test_auglocal_copies_a_parameter_of_a_unit() -> None:
    class Scaled(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.scale = nn.Parameter(torch.full((1, 4, 1, 1), 1.5))
            self.register_buffer("shift", torch.full((1, 4, 1, 1), 0.1))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.norm(self.conv(x)) * self.scale + self.shift)

    class Whole(nn.Module):
        unit_ends = ("a", "b", "c")

        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.fc = Scaled(3), Scaled(4), Scaled(4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(self.c(self.b(self.a(x))).mean((2, 3)))
            return logits

    model = Whole().double()
    learner = attached(model, "auglocal", depth=2)
    copied = {name: value for name, value in learner.learned_beside() if name.endswith("scale")}
    assert len(copied) == 2
    assert all(torch.equal(value, model.b.scale) and value is not model.b.scale for value in copied.values())
    learner.backward(X, Y)
    assert all(value.grad is not None for value in copied.values())
