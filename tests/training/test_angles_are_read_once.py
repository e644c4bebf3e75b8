"""Angles are computed where the tensors lie, and read in one go; on a CPU they have the bits that they always had."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from asapbench.machine.kinds import KINDS
from asapbench.rules import attach
from asapbench.training import alignment as module
from asapbench.training.alignment import alignment, degrees


def reference(one: Tensor, other: Tensor) -> float | None:
    """The angle as databases have it: each number read from the CPU as it is computed."""
    a, b = (tensor.detach().double().flatten() for tensor in (one, other))
    lengths = float(a.norm()), float(b.norm())
    if not all(math.isfinite(length) and length > 0 for length in lengths):
        return None
    u, v = a / lengths[0], b / lengths[1]
    return math.degrees(2 * math.atan2(float((u - v).norm()), float((u + v).norm())))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_angle_on_a_cpu_has_the_bits_of_stored_ones(dtype: torch.dtype, layout: torch.memory_format) -> None:
    draw = torch.Generator().manual_seed(1)
    for size in range(1, 40):
        pair = [torch.randn(3, size, 5, 5, generator=draw).to(dtype, memory_format=layout) for _ in range(2)]
        scaled = pair[0], pair[0] * 3 + pair[1] * 10.0**-size
        for one, other in (pair, scaled, (pair[0], pair[0]), (pair[0], pair[0] * 0), (pair[0], pair[1] * math.inf)):
            assert degrees(one, other) == reference(one, other)


class Reads(TorchDispatchMode):
    """Counts numbers that Python takes out of tensors, and copies to the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        to = (kwargs or {}).get("device")
        copied = function is torch.ops.aten._to_copy.default and to is not None and torch.device(to).type == "cpu"
        self.count += copied or function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def test_no_number_is_read_alone() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 10)]
    x, y = torch.randn(6, 3, 8, 8), torch.arange(6)
    learner = attach(nn.Sequential(*layers), "kp", x)
    with Reads() as reads:
        rows = alignment(learner, x, y, epoch=0, precision="float32")
    assert len(rows) > 3
    assert reads.count == 0


def test_what_an_angle_needs_stays_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "meta", KINDS["cuda"])
    assert module._lengths(*torch.empty(2, 7, 5, device="meta")).device.type == "meta"
