"""A certificate of a module of one's own: the module stays as it is, and errors of a rule's code are findings."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asapbench import check
from asapbench.analysis.certificate import narrow
from asapbench.errors import GraphError, SuiteError
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.learner import Learner, Objective
from asapbench.rules.fa import FA
from asapbench.suite.catalog import RULES
from asapbench.suite.spelled import spelled

SAMPLE = torch.zeros(4, 2, 6, 6)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(36, 5),
    )


def test_a_module_with_dropout_is_certified_and_stays_as_it_is() -> None:
    model = convolutional().eval()
    before = copy.deepcopy(model.state_dict())
    streams = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    threads = torch.get_num_threads()
    certificate = check("kp", model, SAMPLE)
    assert certificate.failures == ()
    assert (certificate.rule, certificate.model, certificate.model_revision) == ("kp", "Sequential", None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    assert torch.equal(streams[0], torch.get_rng_state())
    assert (str(np.random.get_state()), random.getstate(), torch.get_num_threads()) == (*streams[1:], threads)


def test_a_learned_feedback_weight_of_a_head_is_no_weight_transport() -> None:
    rule = RULES["asfp_lc"].choose({"classifier": "kp"})
    assert check(rule, narrow("alexnet", width=2, hidden=4)).finding("transport").verdict == "holds"


def test_a_module_that_a_rule_refuses_is_an_error() -> None:
    with pytest.raises(GraphError, match="at least 3 convolutions"):
        check("asap", convolutional(), SAMPLE)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("fa", nn.Linear(3, 2)), ValueError, "needs a sample"),
        (("fa", nn.Linear(3, 2), torch.zeros(1, 3)), ValueError, "needs two or more"),
        (("fb", "mlp"), SuiteError, 'unknown rule "fb"'),
        (("fa", "mlb"), SuiteError, 'unknown model "mlb"'),
    ],
)
def test_bad_input_is_named(arguments: tuple[object, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check(*arguments)


class Broken(Learner):
    def objective(self, x: Tensor, y: Tensor) -> Objective:
        raise RuntimeError("no kernel\nin /home/someone/kernels.so")


class BrokenRule(FA):
    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        made = super().learner(model, flow, seed)
        return Broken(made.model, made.program, made.feedback_layers)


class ChangedInPlace(Learner):
    def objective(self, x: Tensor, y: Tensor) -> Objective:
        kept = super().objective(x, y)
        changed = kept.scalar.exp()
        wrong = changed * 1
        changed.add_(1)
        return kept._replace(scalar=wrong)


class ChangedInPlaceRule(FA):
    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        made = super().learner(model, flow, seed)
        return ChangedInPlace(made.model, made.program, made.feedback_layers)


def test_an_error_that_autograd_raises_for_the_rules_graph_is_a_finding() -> None:
    certificate = check(ChangedInPlaceRule(FA.entry.choose()), convolutional(), SAMPLE)
    assert certificate.finding("gradients").text.startswith("raises RuntimeError at ")
    assert "modified by an inplace operation" in certificate.finding("gradients").text


def test_an_error_of_the_certificates_own_code_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asapbench.analysis.certificate.gradients._BY_B", None)
    with pytest.raises(TypeError, match="NoneType"):
        check("fa", convolutional(), SAMPLE)


class Gain(nn.Module):
    """A parameter outside all layers, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.gain = nn.Parameter(torch.full((1, 4, 1, 1), 1.3))
        self.out = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.first(x) * self.gain)
        out: Tensor = self.out(torch.relu(self.second(hidden) * self.gain).mean((2, 3)))
        return out


@pytest.mark.parametrize("rule", ["dfa", "local_errors", "phsic"])
def test_a_parameter_outside_layers_belongs_to_every_part_that_uses_it(rule: str) -> None:
    certificate = check(rule, Gain(), SAMPLE)
    assert certificate.failures == ()
    assert certificate.finding("boundaries").verdict == "holds"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Linear(12, 4), nn.Linear(4, 5)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = torch.relu(self.embedding(x.flatten(2).transpose(1, 2).reshape(-1, 6, 12)))
        out: Tensor = self.out(self.attention(tokens, tokens, tokens)[0].mean(1))
        return out


@pytest.mark.parametrize("rule", ["fa", "kp(classifier=kp)", "weight_mirror"])
def test_attention_that_is_written_out_is_certified(rule: str) -> None:
    name, given = spelled("rule", rule)
    certificate = check(RULES[name].choose(given), Attention(), SAMPLE)
    assert certificate.failures == ()


def test_an_error_of_the_rules_code_is_a_finding_with_its_place() -> None:
    certificate = check(BrokenRule(FA.entry.choose()), convolutional(), SAMPLE)
    assert {found.name for found in certificate.failures} >= {"gradients", "learning", "resume"}
    text = certificate.finding("learning").text
    assert text.startswith("raises RuntimeError at test_own_modules.py:")
    assert text.endswith("no kernel in kernels.so")
