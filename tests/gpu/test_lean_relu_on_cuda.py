"""A ReLU that keeps bits gives the gradient of ReLU on a GPU, where bits are unpacked by arithmetic."""

from __future__ import annotations

import pytest
import torch

from asapbench.rules.lean import LeanReLU

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lean_relu_on_a_gpu_gives_the_gradient_of_relu(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(4)
    x, delta = (
        torch.randn(3, 5, 2, 7, generator=draw).to("cuda", dtype, memory_format=torch.channels_last) for _ in range(2)
    )
    LeanReLU().cuda()(x.requires_grad_()).backward(delta)
    assert torch.equal(x.grad, torch.where(x > 0, delta, 0))
