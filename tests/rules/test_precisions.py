"""bfloat16 autocast: float32 gradients, close to those of float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from asapbench.models import build, initialise
from asapbench.rules import Learner, attach, resolve
from asapbench.suite.catalog import MODELS, RULES

BEFORE_BATCHNORM = ("fc.bias", "hidden.0.bias", "hidden.3.bias", *(f"classifier.{i}.bias" for i in (0, 3, 6)))
"""How biases end whose gradient BatchNorm leaves rounding only; those of a classifier are in DGL's heads."""


def learner_of(rule: str, **options: str) -> tuple[Learner, Tensor, Tensor]:
    suited = MODELS["mlp"].choose() if RULES[rule].needs == "linear" else MODELS["resnet10"].choose({"width": 8})
    model = build(suited, channels=3, size=16, classes=10)
    initialise(model, 1)
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(32, 3, 16, 16, generator=draw), torch.randint(10, (32,), generator=draw)
    return attach(model, RULES[rule].choose(options), x, seed=2), x, y


def gradients(learner: Learner) -> dict[str, Tensor]:
    return {name: p.grad for name, p in learner.trained_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("rule", "options"),
    [(rule, {}) for rule in RULES] + [("asap", {"matching": "random"}), ("sign_symmetry", {"variant": "brsf"})],
)
@pytest.mark.parametrize("bound", [False, True])
def test_bfloat16_gradients_are_float32_and_close(rule: str, options: dict[str, str], bound: bool) -> None:
    found = []
    for enabled in (False, True):
        learner, x, y = learner_of(rule, **options)
        if bound:
            why = learner.bind(torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1))
            declares = resolve(RULES[rule].choose()).declares
            held = declares.feedback_update in (None, "noise") and declares.error_path != "product"
            assert (why is None) is held, why
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            objective = learner.objective(x, y)
        objective.scalar.backward()
        assert objective.loss.dtype == torch.float32
        found.append(gradients(learner))
    assert set(found[0]) == set(found[1])
    for name, exact in found[0].items():
        rounded = found[1][name]
        assert rounded.dtype == torch.float32
        assert rounded.isfinite().all()
        cosine = torch.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0)
        if not name.endswith(BEFORE_BATCHNORM):
            # Of BP the worst is 0.92 too, BatchNorm after BatchNorm; DGL's heads put six more behind each block.
            assert cosine > (0.8 if rule == "dgl" else 0.9), (name, cosine)
    differ = any(not torch.equal(exact, found[1][name]) for name, exact in found[0].items())
    assert differ is not RULES[rule].needs_float32


def test_a_network_kept_in_bfloat16_trains() -> None:
    learner, x, y = learner_of("asap")
    learner.to(torch.bfloat16)
    learner.backward(x.bfloat16(), y)
    for name, gradient in gradients(learner).items():
        assert gradient.dtype == torch.bfloat16, name
        assert gradient.isfinite().all(), name
