"""In channels-last a step converts no layout that plain PyTorch does not convert, and in bf16 no map's precision.

A converted map costs as much as the operation it is converted for, and nothing says that it was. Seen by the operations
of PyTorch that a step calls. Heads flatten maps of a few pixels, so that those do not count.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.rules.engine import deviation as statistics
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Choice
from asapbench.training.environment import arithmetic

BATCH = 6
PIXELS = 4
"""Of the largest maps that heads flatten."""
CHOICES = [
    *(entry.choose() for entry in RULES.values() if entry.needs != "linear"),
    RULES["asap"].choose({"matching": "average", "k": 4}),
    RULES["asap"].choose({"matching": "random"}),
    RULES["predsim"].choose({"bpf": True}),
]


class Conversions(TorchDispatchMode):
    """Counts the maps that are copied into another order in memory or into another floating type."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("copy_", "clone", "_to_copy"):
            source = args[1] if name == "copy_" else args[0]
            if source.shape == out.shape and is_map(out):
                if order_of(source) != order_of(out):
                    self.seen[f"layout of {tuple(out.shape)}"] += 1
                elif source.dtype != out.dtype and out.is_floating_point():
                    self.seen[f"{source.dtype} to {out.dtype} of {tuple(out.shape)}"] += 1
        return out


def is_map(tensor: Tensor) -> bool:
    """Whether `tensor` is the batch's, of some size; a few examples at a time are copied within a core's cache."""
    return tensor.dim() == 4 and len(tensor) == BATCH and tensor.shape[2:].numel() > PIXELS


def order_of(tensor: Tensor) -> list[int]:
    """Strides, but of dimensions of size 1, which say nothing."""
    return [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]


def conversions(choice: Choice | None, precision: str) -> Counter[str]:
    """Those of a step under a rule, or in plain PyTorch."""
    model: nn.Module = build(MODELS["resnet10"].choose({"width": 8}), channels=3, size=32, classes=5)
    initialise(model, 1)
    x = torch.randn(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    learner = None if choice is None else attach(model, choice, x, seed=2)
    (model if learner is None else learner).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, y = x.contiguous(memory_format=torch.channels_last), torch.arange(BATCH) % 5
    with Conversions() as found:
        with arithmetic(torch.device("cpu"), precision):
            scalar = nn.functional.cross_entropy(model(x), y) if learner is None else learner.objective(x, y).scalar
        torch.autograd.backward(scalar)
    return found.seen


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"{c.name}-{'-'.join(str(v) for _, v in c.options)}")
def test_a_step_converts_no_map_that_plain_pytorch_does_not_convert(
    choice: Choice, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_CACHED", 1)  # one example at a time, which is no map of the batch
    assert conversions(choice, precision) - conversions(None, precision) == Counter()


def test_a_conversion_is_seen() -> None:
    maps = torch.zeros(BATCH, 3, 4, 4)
    with Conversions() as found:
        maps.contiguous(memory_format=torch.channels_last)
        maps.bfloat16()
        maps.clone()
    assert found.seen.total() == 2
