"""oneDNN's weight gradient of a strided 1x1 convolution in channels-last writes beyond its output: it is never called.

torch 2.14 on x86, where a vector register holds more numbers than there are input channels.
"""

from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.rules.engine.functions import FeedbackConv2d, Geometry
from asapbench.suite.catalog import MODELS, RULES
from asapbench.training.alignment import alignment

OF_MAPS = [rule for rule, entry in RULES.items() if entry.needs != "linear"]
CHECKED_MALLOC = "libc_malloc_debug.so.0"
"""glibc's checks: a process that writes beyond what it was given is ended when that is freed."""

STEPS = f"""
import torch
from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.suite.catalog import MODELS
from asapbench.training.alignment import alignment

torch.set_num_threads(1)
for rule in {OF_MAPS}:
    model = build(MODELS["resnet10"].choose({{"width": 4}}), channels=3, size=56, classes=10)
    initialise(model, 0)
    x = torch.randn(8, 3, 56, 56).to(memory_format=torch.channels_last)
    learner = attach(model.train(), rule, x[:2])
    learner.to(memory_format=torch.channels_last)
    learner.backward(x, torch.arange(8))
    alignment(learner, x, torch.arange(8), epoch=1, precision="float32")
"""


class FaultyCalls(TorchDispatchMode):
    """Collects the weight gradients of strided 1x1 convolutions that are asked for in channels-last order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            delta, source, weight, _, stride, padding = args[:6]
            is_strided = weight.shape[2:] == (1, 1) and max(stride) > 1 and max(padding) == 0
            is_narrow = weight.shape[1] < 16
            in_order = delta.is_contiguous() and source.is_contiguous() and weight.stride(3) == 1
            if args[-1][1] and is_strided and is_narrow and not in_order:
                self.found.append(weight.shape)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rule", OF_MAPS)
def test_no_rule_makes_the_faulty_call(rule: str) -> None:
    model = build(MODELS["resnet10"].choose({"width": 4}), channels=3, size=16, classes=10)
    initialise(model, 1)
    x = torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)
    learner = attach(model.train(), rule, x, seed=2)
    learner.to(memory_format=torch.channels_last)
    with FaultyCalls() as calls:
        learner.backward(x, torch.arange(4))
        alignment(learner, x, torch.arange(4), epoch=1, precision="float32")
    assert calls.found == []


def test_a_weight_alone_in_channels_last_is_enough_for_the_faulty_call() -> None:
    weight = torch.randn(8, 4).as_strided((8, 4, 1, 1), (4, 1, 4, 4)).requires_grad_()
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    out = FeedbackConv2d.apply(x, weight, None, weight.detach(), None, None, None, Geometry((2, 2), (0, 0), (1, 1), 1))
    delta = torch.randn(out.shape)
    with FaultyCalls() as calls:
        out.backward(delta)
    assert calls.found == []


def test_plain_pytorch_makes_the_faulty_call() -> None:
    layer = nn.Conv2d(4, 8, 1, stride=2, device="meta").to(memory_format=torch.channels_last)
    x = torch.empty(2, 4, 8, 8, device="meta").to(memory_format=torch.channels_last)
    with FaultyCalls() as calls:
        layer(x).sum().backward()
    assert calls.found == [layer.weight.shape]


@pytest.mark.parametrize("stride", [(2, 2), (3, 2), (1, 2)])
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_the_gradients_are_those_of_autograd_in_float64(
    stride: tuple[int, int], size: tuple[int, int], groups: int, order: torch.memory_format
) -> None:
    stream = torch.Generator().manual_seed(7)
    x = torch.randn(5, 6, *size, generator=stream).to(memory_format=order).requires_grad_()
    weight = torch.randn(8, 6 // groups, 1, 1, generator=stream).to(memory_format=order).requires_grad_()
    bias = torch.randn(8, generator=stream).requires_grad_()
    geometry = Geometry(stride, (0, 0), (1, 1), groups)
    out = FeedbackConv2d.apply(x, weight, bias, weight.detach(), None, None, None, geometry)
    delta = torch.randn(out.shape, generator=stream).to(memory_format=order)
    ours = torch.autograd.grad(out, (x, weight, bias), delta)
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
    theirs = torch.autograd.grad(F.conv2d(*exact, stride, groups=groups), exact, delta.double())
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.float())


@pytest.mark.slow
@pytest.mark.skipif(ctypes.util.find_library("c_malloc_debug") is None, reason=f"{CHECKED_MALLOC} is not installed")
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE", "DEFAULT"])
def test_no_step_writes_beyond_its_memory(instructions: str) -> None:
    checked = {"LD_PRELOAD": CHECKED_MALLOC, "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    env = os.environ | checked | {"ONEDNN_MAX_CPU_ISA": instructions}
    done = subprocess.run([sys.executable, "-c", STEPS], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
