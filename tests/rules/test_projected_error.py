"""DFA's projected error: what it is at a tap, its order in memory, and that forward computes nothing for it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from asapbench.models import build, initialise
from asapbench.rules import Learner, attach
from asapbench.rules.engine.projected_error import Projection
from asapbench.suite.catalog import MODELS

X, Y = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(5)), torch.arange(6)


class Operations(TorchDispatchMode):
    """Counts the operations that run inside it, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def learner_of(rule: str, name: str = "resnet10", dtype: torch.dtype = torch.float32) -> Learner:
    model = build(MODELS[name].choose({"width": 4} if name != "mlp" else {}), channels=3, size=16, classes=10)
    initialise(model, 1)
    return attach(model.to(dtype), rule, X, seed=2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (4, 6, 1, 1), (4, 1, 3, 2), (4, 18)])
@pytest.mark.parametrize("order", ["contiguous", "channels last"])
def test_the_error_at_a_tap_is_the_projected_error(shape: tuple[int, ...], dtype: torch.dtype, order: str) -> None:
    draw = torch.Generator().manual_seed(3)
    tap, weight = (torch.randn(*s, generator=draw, dtype=torch.float64) for s in (shape, (5, *shape[1:])))
    error = torch.randn(4, 5, generator=draw, dtype=torch.float64)
    tap = tap.to(dtype)
    weight = weight.float() if dtype == torch.bfloat16 else weight.to(dtype)  # as under autocast
    if order == "channels last" and tap.dim() == 4:
        tap, weight = (t.contiguous(memory_format=torch.channels_last) for t in (tap, weight))
    tap.requires_grad_()
    entry = Projection(weight)(tap)
    assert (entry.shape, entry.dtype) == ((4, 5), weight.dtype)
    assert not entry.any()
    entry.backward(error.to(weight.dtype))
    assert tap.grad is not None
    assert tap.grad.stride() == tap.stride()
    expected = np.einsum("nk,ku->nu", error.numpy(), weight.double().numpy().reshape(5, -1)).reshape(shape)
    precision = torch.finfo(dtype).eps
    np.testing.assert_allclose(tap.grad.double().numpy(), expected, rtol=4 * precision, atol=8 * precision)


def test_the_objective_has_the_value_of_the_loss() -> None:
    learner = learner_of("dfa")
    objective = learner.objective(X, Y)
    assert torch.equal(objective.scalar.detach(), objective.loss)
    assert torch.equal(objective.loss, F.cross_entropy(objective.logits, Y))


def test_the_error_grows_with_what_arrives_at_the_objective() -> None:
    found = []
    for factor in (1, 2):
        learner = learner_of("dfa", dtype=torch.float64)
        (factor * learner.objective(X.double(), Y).scalar).backward()
        found.append([p.grad for _, p in learner.trained_parameters()])
    assert all(torch.equal(2 * one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["resnet10", "alexnet", "mlp"])
def test_forward_computes_no_product_but_the_models(name: str) -> None:
    seen = []
    for rule in ("bp", "dfa"):
        learner = learner_of(rule, name)
        with Operations() as operations:
            learner.objective(X, Y)
        products = ("mm", "addmm", "bmm", "matmul", "convolution", "dot", "mv")
        seen.append({product: operations.seen[product] for product in products})
    assert seen[0] == seen[1]


def keep(_: Projection, inputs: tuple[Tensor], entry: Tensor, *, name: str, errors: dict[str, Tensor]) -> None:
    """A forward hook that notes the error at the tap."""
    inputs[0].register_hook(lambda gradient: errors.__setitem__(name, gradient))


def test_in_channels_last_the_error_is_formed_in_that_order_from_the_same_projections() -> None:
    found: list[dict[str, Tensor]] = []
    digests = []
    for order in (torch.contiguous_format, torch.channels_last):
        learner = learner_of("dfa", dtype=torch.float64)
        learner.to(memory_format=order)
        errors: dict[str, Tensor] = {}
        for name, module in learner.program.named_modules():
            if isinstance(module, Projection):
                module.register_forward_hook(partial(keep, name=name, errors=errors))
        learner.backward(X.double().contiguous(memory_format=order), Y)
        assert len(errors) == 9
        assert all(error.is_contiguous(memory_format=order) for error in errors.values())
        found.append(errors)
        digests.append(learner.fixed_digest())
    for name, error in found[0].items():
        torch.testing.assert_close(found[1][name], error, rtol=1e-9, atol=1e-12)
    assert digests[0] == digests[1]


def test_a_projection_in_channels_last_copies_nothing_but_the_error() -> None:
    last = torch.channels_last
    weight, tap = (torch.randn(n, 6, 4, 4).contiguous(memory_format=last) for n in (5, 3))
    entry = Projection(weight)(tap.requires_grad_())
    with Operations() as operations:
        torch.autograd.grad(entry, tap, torch.randn(3, 5))
    assert operations.seen["mm"] == 1
    assert not {"clone", "copy_", "_to_copy", "contiguous"} & set(operations.seen)


DIGESTS = {"resnet10": "b1c407e7c7ac39b2", "alexnet": "08ab34794b839d46", "mlp": "896dcaf0a9748ef7"}
"""Of stored checkpoints, which name their projections so."""


@pytest.mark.parametrize("name", DIGESTS)
def test_projections_are_those_of_stored_checkpoints(name: str) -> None:
    learner = learner_of("dfa", name)
    assert all(b.dim() == 2 for _, b in learner.fixed_feedback())
    assert learner.fixed_digest().startswith(DIGESTS[name])
