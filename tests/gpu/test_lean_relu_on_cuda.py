"""A ReLU that keeps bits is torch's ReLU on a GPU, by one Triton kernel each way and by arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent.parent / "rules"))
import relu_cases

from asapbench.rules.engine import bitmask_relu
from asapbench.rules.engine.bitmask_relu import LeanReLU

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
WAYS = ("kernels", "arithmetic")


@pytest.fixture
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "arithmetic":
        monkeypatch.setattr(bitmask_relu, "_kernels", lambda _: None)
    else:
        pytest.importorskip("triton", reason="Triton is not installed")
        assert bitmask_relu._working_kernels() is not None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_lean_relu_gives_the_bits_of_relu_and_of_its_gradient() -> None:
    assert list(relu_cases.differences("cuda")) == []


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_a_lean_relu_is_captured_in_a_cuda_graph() -> None:
    x, delta = (torch.randn(4, 6, 5, 5, device="cuda") for _ in range(2))
    x.requires_grad_()
    relu = LeanReLU().cuda()

    def step() -> torch.Tensor:
        return torch.autograd.grad(relu(x), x, delta)[0]

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradient = step()
    with torch.no_grad():
        x.copy_(torch.randn_like(x))
        delta.copy_(torch.randn_like(delta))
    graph.replay()
    assert torch.equal(gradient, torch.where(x > 0, delta, 0))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("way", ["kernels"], indirect=True)
def test_elements_beyond_two_to_the_31_are_reached() -> None:
    count = 2**31 + 1003
    if torch.cuda.mem_get_info()[0] < 20 * 2**30:
        pytest.skip("needs 20 GiB of the GPU's memory")
    x = torch.full((count,), -1.0, dtype=torch.bfloat16, device="cuda")
    x[-9::2] = 2.0
    out = LeanReLU().cuda()(x.requires_grad_())
    (gradient,) = torch.autograd.grad(out, x, torch.full_like(out, 3.0))
    assert out[-9:].tolist() == [2.0, 0.0] * 4 + [2.0]
    assert gradient[-9:].tolist() == [3.0, 0.0] * 4 + [3.0]
    assert int(gradient.count_nonzero()) == 5


def test_triton_runs_on_the_device_of_the_tensor() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    x = torch.randn(100, device="cuda:1", requires_grad=True)
    LeanReLU().to("cuda:1")(x).sum().backward()
    assert torch.equal(x.grad, (x > 0).float())
