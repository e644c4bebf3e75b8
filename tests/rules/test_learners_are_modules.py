"""A learner behaves as a module does: copies, states, moves to other types, autocast."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from library_networks import NETWORKS
from torch import Tensor, nn

from asapbench.rules import Learner, attach, resolve
from asapbench.suite.catalog import RULES
from asapbench.suite.spelled import spelled

X, Y = NETWORKS["mixer"].batch(dtype=torch.float32)


def network() -> nn.Module:
    """Convolutions enough for every rule of convolutions, BatchNorm, and blocks by name."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 4), (4, 6), (6, 6), (6, 6)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 5))
    model.unit_ends = ["2", "5", "8", "11"]  # type: ignore[assignment]
    return model


def features() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5))


def attached(rule: str, *, seed: int = 3, first: int = 0, bind: bool = True) -> tuple[Learner, torch.optim.Optimizer]:
    """A learner whose weights are drawn from `first`, with its optimizer."""
    torch.manual_seed(first)
    learner = attach(features() if RULES[rule].needs == "linear" else network(), rule, X, seed)
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1, momentum=0.9, weight_decay=0.1)
    if bind:
        learner.bind(optimizer)
    return learner, optimizer


def train(learner: Learner, optimizer: torch.optim.Optimizer, *, steps: int = 2) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        learner.backward(X, Y)
        optimizer.step()


def gradients(learner: Learner) -> dict[str, Tensor]:
    names, parameters = zip(*learner.trained_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(learner.objective(X, Y).scalar, parameters), strict=True))


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    assert expected
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("rule", RULES)
def test_a_copy_learns_as_the_learner_and_shares_nothing_with_it(rule: str) -> None:
    learner, optimizer = attached(rule)
    train(learner, optimizer)
    twin = copy.deepcopy(learner)
    expected = gradients(learner)
    with torch.no_grad():
        for tensor in (*learner.parameters(), *learner.buffers()):
            tensor.zero_()
    assert_equal(gradients(twin), expected)
    of_model, of_program = set(twin.model.parameters()), set(twin.program.parameters())
    assert of_model <= of_program, "the program computes with the weights of the model"
    for name, weight, _ in twin.feedback_pairs():
        assert weight in of_model, name


@pytest.mark.parametrize("rule", RULES)
def test_a_state_is_complete_whatever_the_other_learner_started_from(rule: str) -> None:
    learner, optimizer = attached(rule)
    train(learner, optimizer)
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    file.seek(0)
    other, _ = attached(rule, seed=8, first=1)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.fixed_digest() == learner.fixed_digest()
    assert_equal(dict(other.model.state_dict()), dict(learner.model.state_dict()))
    assert_equal(gradients(other), gradients(learner))


def test_keys_of_a_state_are_those_of_the_model_the_program_and_the_rule() -> None:
    learner, _ = attached("asap")
    keys = learner.state_dict().keys()
    assert {key.split(".")[0] for key in keys} == {"model", "program", "recursion", "rule"}
    of_model = {key.removeprefix("model.") for key in keys if key.startswith("model.")}
    assert of_model == set(learner.model.state_dict())
    network().load_state_dict(learner.model.state_dict())  # the plain module takes it


@pytest.mark.parametrize("rule", [*RULES, "sign_symmetry(variant=brsf)"])
def test_the_number_of_steps_is_in_both_states_of_a_rule_that_depends_on_it_and_in_no_other(rule: str) -> None:
    name, given = spelled("rule", rule)
    learner = attach(network() if RULES[name].needs != "linear" else features(), RULES[name].choose(given), X)
    learner.begin_step()
    acts = rule in ("weight_mirror", "sign_symmetry(variant=brsf)")
    state = dict(learner.state_dict())
    assert ("steps" in learner.rule_state()) == ("rule.steps" in state) == acts
    learner.load_state_dict(state | {"rule.steps": torch.tensor(3)})  # as states of all rules had it before
    assert learner.steps == 3
    if acts:
        del state["rule.steps"]
        with pytest.raises(RuntimeError, match=r"Missing key.*rule\.steps"):
            learner.load_state_dict(state)


def test_a_state_of_another_rule_is_refused() -> None:
    learner, _ = attached("fa")
    for rule in ("bp", "dfa", "asap"):
        with pytest.raises(RuntimeError, match=r"Missing key|Unexpected key"):
            attached(rule)[0].load_state_dict(learner.state_dict())


def test_a_learner_that_was_bound_is_not_bound_again() -> None:
    learner, optimizer = attached("asap")
    for bound in (learner, copy.deepcopy(learner)):
        with pytest.raises(ValueError, match=r"follow another optimizer already; .* attach the rule to a model again"):
            bound.bind(optimizer)
    attached("fa")[0].bind(optimizer)


@pytest.mark.parametrize("rule", ["asap", "kp"])
def test_a_bound_learner_can_change_its_type(rule: str) -> None:
    learner, optimizer = attached(rule)
    learner.double()
    images = X.double()
    learner.backward(images, Y)
    optimizer.step()
    assert learner.recursion is not None
    assert float(learner.recursion.s) != 1
    for layer in learner.feedback_layers.values():
        assert layer.scale is None or float(layer.scale) == float(learner.recursion.scale)


@pytest.mark.parametrize(
    ("rule", "name"), [*((rule, "own") for rule in RULES), *((rule, "vit") for rule in ("bp", "fa", "kp"))]
)
def test_under_autocast_gradients_are_those_of_float32_except_for_rounding(rule: str, name: str) -> None:
    found = []
    x, y = NETWORKS["vit"].batch(count=32, dtype=torch.float32)  # BatchNorm of few examples multiplies rounding
    for enabled in (False, True):
        learner = attach(NETWORKS["vit"](dtype=torch.float32), rule, X) if name == "vit" else attached(rule)[0]
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            objective = learner.objective(x, y)
        objective.scalar.backward()
        trained = [p for _, p in learner.trained_parameters()]
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in trained)
        found.append(torch.cat([p.grad.flatten() for p in trained if p.grad is not None]))
    assert float(torch.cosine_similarity(*found, dim=0)) > 0.9
    is_full_precision = resolve(rule).declares.error_path == "input"  # also under autocast
    assert torch.equal(*found) == is_full_precision
