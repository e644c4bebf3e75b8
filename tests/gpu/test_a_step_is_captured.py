"""On a GPU the whole step of every rule, its optimizer and recursion included, is captured in one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from asapbench.models import build, initialise
from asapbench.rules import RULES, Learner, attach
from asapbench.rules.functions import rebuilt_feedback
from asapbench.rules.recursion import ScalarRecursion
from asapbench.suite.catalog import FULLY_CONNECTED, MODELS
from asapbench.suite.catalog import RULES as CATALOG

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
WARM_UP, STEPS = 3, 4


def on_gpu(rule: str) -> tuple[Learner, torch.optim.Optimizer, Callable[[], None]]:
    """A learner, its optimizer, whose rate lies on the device, and a step on a batch that stays where it is."""
    name, options = ("mlp", {}) if rule in FULLY_CONNECTED else ("resnet10", {"width": 8})
    model = build(MODELS[name].choose(options), channels=3, size=16, classes=10)
    initialise(model, 1)
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(16, 3, 16, 16, generator=draw), torch.randint(10, (16,), generator=draw).cuda()
    learner = attach(model, rule, x, seed=2).cuda()
    learner.to(memory_format=torch.channels_last)
    x = x.cuda().contiguous(memory_format=torch.channels_last)
    rate = torch.tensor(0.01, device="cuda")
    parameters = [parameter for _, parameter in learner.trained_parameters()]
    optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=1e-2, fused=True)
    if dict(CATALOG[rule].choose().options).get("form") == "recursion":
        assert learner.bind(optimizer) is None

    def step() -> None:
        optimizer.zero_grad()
        learner.backward(x, y)
        optimizer.step()

    return learner, optimizer, step


def captured(step: Callable[[], None], optimizer: torch.optim.Optimizer) -> torch.cuda.CUDAGraph:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    optimizer.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


@pytest.mark.parametrize("rule", RULES)
def test_a_captured_step_trains_as_an_eager_one(rule: str) -> None:
    eager, _, step = on_gpu(rule)
    for _ in range(WARM_UP + STEPS):
        step()
    replayed, optimizer, step = on_gpu(rule)
    graph = captured(step, optimizer)
    for _ in range(STEPS):
        graph.replay()
    for (name, one), (_, other) in zip(eager.trained_parameters(), replayed.trained_parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4, msg=name)
    for name, value in eager.rule_state().items():
        if name.startswith("recursion."):
            assert torch.equal(value, replayed.rule_state()[name]), name
    if replayed.recursion is not None:
        assert replayed.recursion.steps == WARM_UP + STEPS


@pytest.mark.parametrize("settings", [
    {"momentum": 0.9, "dampening": 0.0, "nesterov": False},
    {"momentum": 0.9, "dampening": 0.3, "nesterov": False},
    {"momentum": 0.9, "dampening": 0.0, "nesterov": True},
    {"betas": (0.9, 0.99)},
])  # fmt: skip
def test_the_recursion_advances_in_a_graph_as_on_a_cpu(settings: dict[str, Any]) -> None:
    """A step that the graph replays sees the rate of the moment, and whether it is the first."""
    rates = [0.1, 0.05, 0.02]
    here, there = ScalarRecursion(torch.device("cpu")), ScalarRecursion(torch.device("cuda"))
    rate = torch.tensor(0.0, dtype=torch.float64, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        there.advance({"lr": rate, "weight_decay": 0.1, **settings})
    for each in rates:
        here.advance({"lr": each, "weight_decay": 0.1, **settings})
        rate.fill_(each)
        graph.replay()
        for name, value in here.state_dict().items():
            torch.testing.assert_close(there.state_dict()[name].cpu(), value, rtol=1e-15, atol=0)
        assert there.scale.item() == pytest.approx(here.s.item(), rel=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_feedback_is_rebuilt_by_one_kernel_as_w_minus_s_d0(dtype: torch.dtype) -> None:
    weight, difference = (torch.randn(8, 6, 3, 3, dtype=dtype, device="cuda") for _ in range(2))
    scale = torch.tensor(0.7312345678901234, dtype=dtype, device="cuda")
    profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    rebuilt_feedback(weight, difference, scale)  # loads the kernel
    with profile:
        found: Tensor = rebuilt_feedback(weight, difference, scale)
        torch.cuda.synchronize()
    assert len([event for event in profile.events() if event.device_type == torch.profiler.DeviceType.CUDA]) == 1
    exact = weight.double() - scale.double() * difference.double()
    bound = torch.finfo(dtype).eps * ((scale * difference).abs() + weight.abs())
    assert ((found.double() - exact).abs() <= bound).all()
