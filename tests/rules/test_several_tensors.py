"""`torch.chunk`, `split` and `unbind` return several tensors at once: rules attach, and no error crosses a unit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.rules import Learner, attach
from asapbench.rules.engine.graph import capture
from asapbench.suite.catalog import RULES

draw = torch.Generator().manual_seed(0)
IMAGES = torch.randn(4, 3, 12, 12, generator=draw, dtype=torch.float64)
FEATURES = torch.randn(4, 12, generator=draw, dtype=torch.float64)
Y = torch.randint(3, (4,), generator=draw)

WAYS = ("slices", "chunk", "chunk by name", "method", "unbind", "a tuple read whole", "a slice of a tuple")


def halves(u: Tensor, way: str) -> tuple[Tensor, Tensor, Tensor]:
    """Both halves of `u`, and all of it."""
    if way == "slices":
        return u[:, :8], u[:, 8:], u
    if way == "a slice of a tuple":
        quarters = torch.chunk(u, 4, 1)
        return torch.cat(quarters[0:2], 1), torch.cat(quarters[2:], 1), u
    if way == "a tuple read whole":
        both = torch.chunk(u, 2, 1)
        return both[0], both[1], torch.cat(both, 1)
    if way == "chunk":
        p, q = torch.chunk(u, 2, 1)
    elif way == "chunk by name":
        p, q = torch.chunk(input=u, chunks=2, dim=1)
    elif way == "method":
        p, q = u.split(8, 1)
    else:
        p, q = u.unflatten(1, (2, 8)).unbind(1)
    return p, q, u


class Halves(nn.Module):
    """Half of what `b` computes is read in its own unit, half behind the next unit, and all of it at the end."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.d = nn.Linear(12, 8), nn.Linear(8, 16), nn.Linear(8, 8)
        self.f = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.a(x))
        p, q, whole = halves(self.b(h), self.way)
        e = F.relu(p + h)
        logits: Tensor = self.f(torch.cat([F.relu(self.d(e)) + q, whole], 1))
        return logits


def attached(model: nn.Module, rule: str, sample: Tensor, **options: object) -> Learner:
    return attach(model, RULES[rule].choose(options), sample).train()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", ["local_errors", "phsic"])
def test_the_losses_of_later_units_reach_no_earlier_layer(rule: str, way: str) -> None:
    torch.manual_seed(0)
    options = {} if rule == "phsic" else {"unit": "conv"}
    model = Halves(way).double()
    learner = attached(model, rule, FEATURES, **options)
    logits, losses = learner.program(FEATURES, Y)
    torch.testing.assert_close(logits, model(FEATURES), rtol=1e-12, atol=1e-12)

    def reaches(loss: Tensor) -> bool:
        (found,) = torch.autograd.grad(loss, model.b.weight, allow_unused=True, retain_graph=True)
        return found is not None

    assert [reaches(loss) for loss in losses] == [unit == "b" for unit in learner.units]
    assert not reaches(F.cross_entropy(logits, Y))


class Maps(nn.Module):
    """Everything passes through a chunk; half of it through the one convolution that a bypass leaves out."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.c = (nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 8), (4, 4), (8, 8)))
        self.f = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.a(x))
        p, q = (h[:, :4], h[:, 4:]) if self.way == "slices" else torch.chunk(h, 2, 1)
        h = torch.cat([F.relu(self.b(p)), q], 1)
        logits: Tensor = self.f(F.relu(self.c(h)).mean((2, 3)))
        return logits


@pytest.mark.parametrize("rule", [rule for rule, entry in RULES.items() if entry.needs != "linear"])
def test_every_rule_trains_a_network_whose_flow_passes_a_chunk(rule: str) -> None:
    def gradients(way: str) -> list[Tensor | None] | str:
        torch.manual_seed(0)
        model = Maps(way).double()
        units = next((option.choices for option in RULES[rule].options if option.name == "unit"), ())
        options = {"unit": next(unit for unit in units if unit != "block")} if units else {}
        try:
            attached(model, rule, IMAGES, **options).backward(IMAGES, Y)
        except GraphError as refusal:
            return str(refusal).split(" and ")[0]
        return [parameter.grad for parameter in model.parameters()]

    found, expected = gradients("chunk"), gradients("slices")
    if isinstance(found, str) or isinstance(expected, str):
        assert rule == "auglocal", found
        assert str(found).startswith("b: its unit reads chunk")
        return
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)


def test_backpropagation_through_a_chunk_is_plain_autograd() -> None:
    model = Maps("chunk").double()
    plain = copy.deepcopy(model)
    F.cross_entropy(plain(IMAGES), Y).backward()
    attached(model, "bp", IMAGES).backward(IMAGES, Y)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("way", ["chunk", "slices"])
def test_the_main_path_goes_through_a_chunk_beside_a_bypass(way: str) -> None:
    class Bypass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
            self.c, self.f = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.a(x))
            p = h[:, :4] if way == "slices" else torch.chunk(h, 2, 1)[0]
            return self.f((F.relu(self.c(F.relu(self.b(p)))) + h).mean((2, 3)))

    flow = capture(Bypass().double(), IMAGES)
    assert [layer.name for layer in flow.main] == ["a", "b", "c"]
    assert flow.shortcuts == ()


def test_torchvisions_shufflenet_is_captured() -> None:
    model = torchvision.models.shufflenet_v2_x0_5(num_classes=3).double()
    learner = attached(model, "fa", torch.zeros(2, 3, 32, 32, dtype=torch.float64))
    learner.backward(torch.randn(2, 3, 32, 32, dtype=torch.float64), Y[:2])
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_unit_may_end_behind_a_part_of_maps() -> None:
    """An integer picks one of several tensors here; of a tensor it would remove a dimension."""

    class Ends(Maps):
        unit_ends = ("part",)

        def __init__(self) -> None:
            super().__init__("chunk")
            self.part = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            h = F.relu(self.b(self.part(torch.chunk(F.relu(self.a(x)), 2, 1)[0])))
            logits: Tensor = self.f(F.relu(self.c(torch.cat([h, h], 1))).mean((2, 3)))
            return logits

    assert attached(Ends().double(), "local_errors", IMAGES, unit="block").units == ("a",)


@pytest.mark.parametrize(
    "apart",
    [lambda h: torch.chunk(h, 2), lambda h: h.split(2), lambda h: h.unbind(-4)],
    ids=["chunk", "split", "unbind"],
)
def test_a_batch_that_is_taken_apart_is_refused(apart: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
    class Apart(Maps):
        def forward(self, x: Tensor) -> Tensor:
            parts = apart(F.relu(self.a(x)))
            return self.f(parts[0].reshape(-1, 8, 144).mean(2))

    with pytest.raises(GraphError, match="takes a batch apart"):
        capture(Apart("chunk").double(), IMAGES)


def test_a_max_pool_with_indices_is_no_tap() -> None:
    class Indices(Maps):
        def __init__(self) -> None:
            super().__init__("chunk")
            self.pool = nn.MaxPool2d(2, return_indices=True)

        def forward(self, x: Tensor) -> Tensor:
            h = self.pool(F.relu(self.a(x)))[0]
            return self.f(F.relu(self.c(h)).mean((2, 3)))

    model = Indices().double()
    attached(model, "dfa", IMAGES).backward(IMAGES, Y)
    assert model.a.weight.grad.abs().sum() > 0
