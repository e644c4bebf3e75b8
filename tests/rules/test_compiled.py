"""`objective` is one graph for torch.compile, without a break, and gives the gradients that it gives uncompiled."""

from __future__ import annotations

import pytest
import torch
from library_networks import NETWORKS
from torch import Tensor, nn

from asapbench.models import build, initialise
from asapbench.rules import CrossEntropy, Learner, attach
from asapbench.suite.catalog import MODELS, RULES
from asapbench.suite.options import Choice

pytestmark = pytest.mark.slow

CHOICES = [
    *(entry.choose() for entry in RULES.values()),
    RULES["asfp_lc"].choose({"loss": "added", "unit": "group"}),
    RULES["local_errors"].choose({"feedback": "sign"}),
    RULES["predsim"].choose({"bpf": True}),
    RULES["bp"].choose({"checkpointing": True}),
    RULES["bp"].choose({"micro_batches": 2}),
]

SMOOTHED = ("bp", "dfa", "dgl", "local_errors", "predsim")
"""One rule for each way in which rules use the criterion. Another rule of each way has no smoothing."""


def learner_of(choice: Choice, x: Tensor, label_smoothing: float) -> Learner:
    entry, options = (MODELS["mlp"], {}) if RULES[choice.name].needs == "linear" else (MODELS["resnet10"], {"width": 2})
    model = build(entry.choose(options), channels=3, size=8, classes=4)
    initialise(model, 1)
    return attach(model.double(), choice, x, seed=2, criterion=CrossEntropy(label_smoothing))


@pytest.mark.parametrize("choice", CHOICES, ids=lambda one: "-".join([one.name, *(str(v) for _, v in one.options)]))
def test_the_objective_compiles_without_a_graph_break(choice: Choice) -> None:
    label_smoothing = 0.1 if choice in [RULES[name].choose() for name in SMOOTHED] else 0.0
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(4, 3, 8, 8, generator=draw, dtype=torch.float64), torch.arange(4)
    plain, compiled = (learner_of(choice, x, label_smoothing) for _ in range(2))
    plain.objective(x, y).scalar.backward()
    torch._dynamo.reset()
    objective = compiled.compiled(lambda graph: torch.compile(graph, backend="aot_eager", fullgraph=True))
    objective(x, y).scalar.backward()
    for (name, one), (_, other) in zip(plain.trained_parameters(), compiled.trained_parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize(("rule", "name"), [("fa", "mobilenet_v2"), ("asap", "resnet50"), ("kp", "vit")])
def test_other_peoples_networks_compile_too(rule: str, name: str) -> None:
    """With learned feedback weights bound to an optimizer, as `learner.bind` holds them."""
    x, y = NETWORKS[name].batch()
    found = []
    for is_compiled in (False, True):
        learner = attach(NETWORKS[name](), rule, x, seed=2)
        optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.01, weight_decay=0.1)
        learner.bind(optimizer)
        for module in learner.modules():
            module.training = not isinstance(module, nn.Dropout)  # compiled code draws other numbers
        torch._dynamo.reset()
        compute = learner.objective
        if is_compiled:
            compute = torch.compile(learner.objective, backend="aot_eager", fullgraph=True)
        for _ in range(2):
            optimizer.zero_grad()
            compute(x, y).scalar.backward()
            optimizer.step()
        found.append({key: p.grad for key, p in learner.trained_parameters()})
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, rtol=1e-8, atol=1e-11, msg=key)
