"""The examples of docs/adding.md work: the rule is declared, attached, held to its declaration and trained."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from documentation import ADDING, blocks

from asapbench.data.images import load as load_images
from asapbench.errors import SuiteError
from asapbench.models import build, initialise
from asapbench.rules import attach
from asapbench.rules.base import LayerPlan, Rule
from asapbench.suite import catalog
from asapbench.suite.catalog import RULES
from asapbench.suite.load import parse
from asapbench.training.settings import TrainingSettings
from asapbench.training.trainer import Trainer

RULE, MODEL = blocks(ADDING, "python")


@pytest.fixture
def rule() -> Iterator[type[Rule]]:
    """The example's rule, in the catalog as if its file stood in `asapbench/rules/`."""
    module = ModuleType("asfa")
    exec(compile(RULE, "asfa.py", "exec"), vars(module))
    for declared in catalog.declared_in(module):
        if declared.rule is module.SharedFeedbackAlignment:
            catalog.add(declared)
    yield module.SharedFeedbackAlignment
    del catalog.RULES["asfa"]


def small(seed: int = 0) -> torch.nn.Module:
    model = build(catalog.MODELS["resnet10"].choose({"width": 3}), channels=1, size=8, classes=10)
    initialise(model, seed)
    return model.double()


BATCH = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.arange(4)


def test_the_rule_keeps_what_it_declares(rule: type[Rule]) -> None:
    x, y = BATCH
    learner = attach(small(), "asfa", x)
    feedback = {name: b.clone() for name, _, b in learner.feedback_pairs()}
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1, weight_decay=0.1)
    learner.backward(x, y)
    optimizer.step()
    assert feedback
    assert all(torch.equal(b, feedback[name]) for name, _, b in learner.feedback_pairs())
    assert [n for n, p in learner.model.named_parameters() if not p.requires_grad] == ["stem.weight"]


def test_the_rule_is_backpropagation_with_its_own_input_and_b_equal_to_w(rule: type[Rule]) -> None:
    class Unshared(rule):
        def plan(self, flow):
            return {name: replace(plan, shared=None) for name, plan in super().plan(flow).items()}

    x, y = BATCH
    plain, model = small(), small()
    F.cross_entropy(plain(x), y).backward()
    for chosen, equal in ((Unshared, True), (rule, False)):
        model = small()
        learner = attach(model, chosen(catalog.RULES["asfa"].choose({"stem": "trained"})), x)
        with torch.no_grad():
            for _, weight, feedback in learner.feedback_pairs():
                feedback.copy_(weight)
        learner.backward(x, y)
        pairs = zip(model.parameters(), plain.parameters(), strict=True)
        assert all(torch.allclose(p.grad, q.grad, rtol=1e-9, atol=1e-12) for p, q in pairs) is equal


class Silent:
    """A listener that only remembers."""

    def __init__(self) -> None:
        self.epochs: list[object] = []

    def warned(self, message: str) -> None:
        raise AssertionError(message)

    def resumed(self, history: object, *, batch: int, bit_exact: bool) -> None:
        pass

    def progressed(self, **_: object) -> None:
        pass

    def finished_epoch(self, metrics: object) -> None:
        self.epochs.append(metrics)

    def should_stop(self) -> bool:
        return False


def test_the_rule_is_refused_where_it_cannot_train(rule: type[Rule]) -> None:
    text = blocks(ADDING, "toml")[0].replace('{ name = "resnet10", width = 4 }', '"mlp"')
    with pytest.raises(SuiteError, match=r"adding\.md:11:\d+: asfa needs convolutions, and mlp has none"):
        parse(text, source="adding.md")


def test_the_suite_of_the_example_trains(rule: type[Rule], tmp_path: Path) -> None:
    suite = parse(blocks(ADDING, "toml")[0], source="adding.md")
    assert [cell.rule["k"] for cell in suite.cells] == [1, 2]
    for cell in suite.cells:
        listener = Silent()
        images = load_images(cell.dataset, tmp_path)
        trainer = Trainer(
            cell,
            images,
            settings=TrainingSettings(device="cpu"),
            directory=tmp_path / cell.short,
            previous=(),
            listener=listener,
        )
        assert trainer.fit() == "done"
        assert len(listener.epochs) == 1


@pytest.mark.parametrize("name", [name for name, entry in RULES.items() if entry.needs != "linear"])
def test_the_model_of_the_example_takes_every_rule(name: str) -> None:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(MODEL, "stack.py", "exec"), names)
    model = names["Stack"](channels=1, classes=10, width=3, depth=4).double()
    initialise(model, 0)
    x, y = BATCH
    learner = attach(model, name, x)
    learner.backward(x, y)
    assert sum(p.grad is not None for _, p in learner.trained_parameters()) > 8


def test_the_page_names_every_field_of_a_layers_plan() -> None:
    text = ADDING.read_text(encoding="utf-8")
    assert [name for name in inspect.signature(LayerPlan).parameters if f"| `{name}` |" not in text] == []
