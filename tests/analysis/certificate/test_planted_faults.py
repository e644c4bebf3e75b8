"""Each planted fault makes exactly the expected property fail; the shipped rule that it is made of holds."""

from __future__ import annotations

import planted
import pytest
import torch
from torch import nn

from asapbench import check
from asapbench.analysis.certificate import narrow
from asapbench.rules import resolve
from asapbench.rules.base import Declares, Rule
from asapbench.suite.catalog import RULES

FAULTS = {
    planted.NothingReachesHiddenLayers: ("learning", "1.weight"),
    planted.TransposedFeedbackGradient: ("gradients", "3"),
    planted.TiedFeedback: ("transport", "3"),
    planted.RebuiltFeedback: ("transport", "3"),
    planted.CopyWithNoise: ("transport", "3"),
    planted.SilentMirror: ("learning", "3"),
    planted.ClimbingProduct: ("gradients", "5"),
    planted.LeakingUnits: ("boundaries", "3"),
    planted.DecayingFeedback: ("fixed", "3"),
    planted.WrittenGradients: ("clean", "1.weight"),
    planted.SharedStorage: ("transport", "3"),
    planted.GlobalRandomness: ("clean", None),
    planted.ForgottenFeedback: ("resume", "B of 3"),
    planted.IgnoredSeed: ("seed", "B of 3"),
}
SHIPPED = sorted({fault.__base__ for fault in FAULTS}, key=lambda rule: rule.__name__)
SAMPLE = torch.zeros(4, 3, 2, 2)


def network() -> nn.Module:
    """Two hidden layers, the second one square: its dB could be transposed."""
    draw = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / 2)
    return model


def rule_of(kind: type[Rule]) -> Rule:
    given = {"classifier": "kp"} if any(option.name == "classifier" for option in kind.entry.options) else {}
    return kind(kind.entry.choose(given))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_makes_exactly_its_property_fail(fault: type[Rule]) -> None:
    certificate = check(rule_of(fault), network(), SAMPLE)
    name, layer = FAULTS[fault]
    assert [(found.name, found.layer) for found in certificate.failures] == [(name, layer)]
    assert certificate.failures[0].advice
    assert not certificate.holds


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda rule: rule.__name__)
def test_the_shipped_rule_beside_it_holds(shipped: type[Rule]) -> None:
    certificate = check(rule_of(shipped), network(), SAMPLE)
    assert certificate.failures == ()
    assert certificate.holds


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("bp", "uses weight transport, as declared: 3, 5"),
        ("weight_mirror", "B follows W by its responses to noise, as declared: 3, 5"),
        ("sign_symmetry", "uses W's signs, as declared (partial transport): 3, 5"),
        (
            "predsim",
            "uses weight transport, as declared: 4 layers, head.1.sim.seen.weight to head.3.pred.decoder.weight",
        ),
    ],
)
def test_declared_limits_are_stated_and_no_failure(rule: str, text: str) -> None:
    certificate = check(rule, network(), SAMPLE)
    assert certificate.holds
    found = certificate.finding("transport")
    assert (found.verdict, found.text) == ("declared", text)


def test_a_product_whose_learned_factor_gets_no_gradient_is_found() -> None:
    certificate = check(rule_of(planted.StuckProduct), network(), SAMPLE)
    assert [(found.name, found.layer) for found in certificate.failures] == [("gradients", "5"), ("fixed", "3")]


def test_a_feedback_weight_of_a_head_that_is_a_copy_of_w_is_found() -> None:
    certificate = check(rule_of(planted.TiedHeads), narrow("alexnet", width=2, hidden=4))
    assert [found.name for found in certificate.failures] == ["transport"]


def test_an_undeclared_use_of_signs_or_of_weights_is_a_fault() -> None:
    class Quiet(type(resolve("sign_symmetry"))):
        @property
        def declares(self) -> Declares:
            return Declares(update="own", error_path="fixed", linear="fixed", stem="trained")

    certificate = check(Quiet(RULES["sign_symmetry"].choose()), network(), SAMPLE)
    assert certificate.finding("transport").verdict == "fails"
    assert certificate.finding("transport").layer == "3"


def test_a_deep_network_with_batchnorm_is_trained_in_small_steps() -> None:
    """B's gradients grow behind each BatchNorm: a step of their size makes W so large that all later ones vanish."""
    draw = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Flatten())
    for _ in range(12):
        model.extend([nn.Linear(12, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU()])
    model.append(nn.Linear(12, 3))
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(0.3 * torch.randn(layer.weight.shape, generator=draw))
    assert check("fa", model, SAMPLE).failures == ()
