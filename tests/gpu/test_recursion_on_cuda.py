"""On a GPU the recursion of learned feedback advances in a CUDA graph, and B is rebuilt by one kernel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from asapbench.rules.engine.functions import rebuilt_feedback
from asapbench.rules.engine.recursion import ScalarRecursion

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


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
