"""The examples of docs/adding.md work: the rule keeps its declaration, and all five train as plug-ins."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import fields, replace
from pathlib import Path

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
from asapbench.suite.entries import RuleEntry
from asapbench.suite.load import load
from asapbench.suite.options import Entry
from asapbench.training.listener import Listener
from asapbench.training.settings import TrainingSettings
from asapbench.training.trainer import Trainer

(SUITE,) = blocks(ADDING, "toml")


@pytest.fixture
def suite(tmp_path: Path, catalog_after: None) -> Path:
    """The page's suite and its files in a folder."""
    names = tomllib.loads(SUITE)["suite"]["plugins"]
    for name, text in zip(names, blocks(ADDING, "python"), strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "asfa.toml").write_text(SUITE, encoding="utf-8")
    return tmp_path / "asfa.toml"


@pytest.fixture
def rule(suite: Path) -> type[Rule]:
    """The page's rule, loaded by the suite."""
    load(str(suite))
    return catalog.rule_class("asfa")


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


class Silent(Listener):
    """A listener that only remembers."""

    def __init__(self) -> None:
        self.epochs: list[object] = []

    def warned(self, message: str) -> None:
        raise AssertionError(message)

    def finished_epoch(self, metrics: object) -> None:
        self.epochs.append(metrics)


def test_the_rule_is_refused_where_it_cannot_train(suite: Path) -> None:
    suite.write_text(SUITE.replace('{ name = "stack", width = 4 }', '["stack", "mlp"]'), encoding="utf-8")
    with pytest.raises(SuiteError) as caught:
        load(str(suite))
    assert str(caught.value) == f"{suite}:14:8: asfa needs convolutions, and mlp has none"


def test_the_suite_of_the_examples_trains(suite: Path, tmp_path: Path) -> None:
    loaded = load(str(suite))
    assert [cell.rule["k"] for cell in loaded.cells] == [1, 2]
    for cell in loaded.cells:
        assert {Path(source).name for source in cell.plugins} == set(tomllib.loads(SUITE)["suite"]["plugins"])
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
        assert len(listener.epochs) == 2


@pytest.mark.parametrize("name", [name for name, entry in RULES.items() if entry.needs != "linear"])
def test_the_model_of_the_example_takes_every_rule(suite: Path, name: str) -> None:
    load(str(suite))
    model = build(catalog.MODELS["stack"].choose(), channels=1, size=8, classes=10).double()
    initialise(model, 0)
    x, y = BATCH
    learner = attach(model, name, x)
    learner.backward(x, y)
    assert sum(p.grad is not None for _, p in learner.trained_parameters()) > 8


def test_the_page_names_every_trait_of_a_rules_entry() -> None:
    text = ADDING.read_text(encoding="utf-8")
    traits = {field.name for field in fields(RuleEntry)} - {field.name for field in fields(Entry)}
    assert {name for name in traits if f"| `{name}` |" not in text} == set()


def test_the_page_names_every_field_of_a_layers_plan() -> None:
    text = ADDING.read_text(encoding="utf-8")
    assert [name for name in inspect.signature(LayerPlan).parameters if f"| `{name}` |" not in text] == []
