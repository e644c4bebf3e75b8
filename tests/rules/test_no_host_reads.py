"""A step reads no number on the host and makes no tensor of the host's numbers.

On a GPU either waits for all that was queued, and a CUDA graph can hold neither. Seen on a CPU by the operations of
PyTorch that a step calls, with the branches forced that a GPU or torch's compiler takes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import pytest
import torch
from host_reads import refused
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from asapbench.models import build, initialise
from asapbench.rules import CrossEntropy, attach
from asapbench.rules.engine import host
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Choice

CHOICES = [
    *(entry.choose() for entry in RULES.values()),
    RULES["asap"].choose({"classifier": "kp", "matching": "average"}),
    RULES["asap"].choose({"matching": "random", "form": "explicit"}),
    RULES["asfp_lc"].choose({"loss": "added", "unit": "group"}),
    RULES["local_errors"].choose({"feedback": "sign"}),
    RULES["predsim"].choose({"bpf": True}),
    RULES["forward_alignment"].choose({"approximate": "own"}),
    RULES["sign_symmetry"].choose({"variant": "brsf"}),
]
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 1e-3}),
    "dampened sgd": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 1e-3, "dampening": 0.1}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 1e-3}),
}


class HostReads(TorchDispatchMode):
    """Notes each operation inside that reads on the host, or takes numbers from it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if name := refused(func, args):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def as_on(way: str) -> AbstractContextManager[object]:
    """On a CPU a rule reads the recursion's scalar, and packs bits with NumPy; on a GPU it does neither."""
    if way == "compiled":
        return mock.patch.object(torch.compiler, "is_compiling", return_value=True)
    return mock.patch.object(host, "computes", return_value=False) if way == "on a GPU" else nullcontext()


def reads_of(choice: Choice, *, way: str, optimizer: str, rate: float | Tensor) -> list[str]:
    name = "mlp" if RULES[choice.name].needs == "linear" else "resnet10"
    model = build(MODELS[name].choose({} if name == "mlp" else {"width": 2}), channels=3, size=8, classes=4)
    initialise(model, 1)
    x, y = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(4)
    learner = attach(model, choice, x, seed=2, criterion=CrossEntropy(0.1))
    kind, options = OPTIMIZERS[optimizer]
    stepping = kind([p for _, p in learner.trained_parameters()], lr=rate, fused=True, **options)
    if dict(choice.options).get("form") == "recursion":
        assert learner.bind(stepping) is None
    with HostReads() as reads:
        for _ in range(2):
            stepping.zero_grad()
            with as_on(way):
                learner.backward(x, y)
            stepping.step()
    return reads.seen


@pytest.mark.parametrize("way", ["on a GPU", "compiled"])
@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"{c.name}-{'-'.join(str(v) for _, v in c.options)}")
def test_a_step_reads_nothing_on_the_host(choice: Choice, way: str) -> None:
    assert reads_of(choice, way=way, optimizer="sgd", rate=0.1) == []


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1), torch.tensor(0.1, dtype=torch.float64)], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_makes_the_recursion_read(optimizer: str, rate: float | Tensor) -> None:
    assert reads_of(RULES["kp"].choose(), way="on a GPU", optimizer=optimizer, rate=rate) == []


def test_a_read_is_seen() -> None:
    x = torch.arange(3.0)
    for read in (lambda: float(x[0]), lambda: bool(x.any()), lambda: torch.tensor(1.0), lambda: x[x > 1], x.nonzero):
        with HostReads() as reads:
            read()
        assert reads.seen
    assert reads_of(RULES["kp"].choose(), way="on a CPU", optimizer="sgd", rate=0.1)
