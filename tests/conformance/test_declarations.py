"""Every rule on every model is what it declares to be, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from subjects import (
    CLASSES,
    LIGHT,
    SUBJECTS,
    TORCHVISION,
    VARIED,
    batch_of,
    gradients,
    hold,
    mirror,
    model_of,
    relative_error,
)
from torch import Tensor, nn

from asapbench.rules import CrossEntropy, Learner, attach, resolve
from asapbench.rules.base import LayerPlan, Rule
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.projected_error import ProjectedLearner, Projection
from asapbench.suite.catalog import RULES

TOLERANCE = 1e-9

varied = pytest.mark.parametrize(("rule", "name"), VARIED)
light = pytest.mark.parametrize(("rule", "name"), LIGHT)


def attached(rule: str | Rule, name: str, *, seed: int = 4) -> tuple[nn.Module, Learner, Tensor, Tensor]:
    model = model_of(name)
    x, y = batch_of(name)
    return model, attach(model, rule, x, seed), x, y


@cache
def autograd_of(name: str) -> dict[str, Tensor]:
    """The gradient of the plain model's cross-entropy."""
    model = model_of(name)
    x, y = batch_of(name)
    F.cross_entropy(model(x), y).backward()
    return gradients(model)


def assert_equal_to_backpropagation(model: nn.Module, name: str, *, but: frozenset[str] = frozenset()) -> None:
    found, expected = gradients(model), autograd_of(name)
    assert set(found) == set(expected) - but
    for key in found:
        if expected[key].abs().max() > 1e-12:  # a bias in front of BatchNorm has no gradient but rounding
            assert relative_error(found[key], expected[key]) < TOLERANCE, key


def own_input(rule: str, **options: str | int) -> Rule:
    """The activation-sharing rule of that name with every layer's sharing forced to its own input."""

    class Unshared(type(resolve(rule))):  # type: ignore[misc]
        def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
            return {layer: replace(plan, shared=None) for layer, plan in super().plan(flow).items()}

    return Unshared(RULES[rule].choose(options))


def convolutions(model: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            yield name, module


@pytest.mark.parametrize("name", [name for rule, name in SUBJECTS if rule == "bp"])
def test_bp_is_plain_autograd(name: str) -> None:
    model, learner, x, y = attached("bp", name)
    learner.backward(x, y)
    assert_equal_to_backpropagation(model, name)


def is_bp_when_b_is_w(rule: str) -> bool:
    """Whether nothing but the feedback weights, and activations in place of others, sets a rule apart from BP."""
    declares = resolve(rule).declares
    by_layers = declares.error_path in ("transport", "fixed", "learned")
    return declares.loss == "global" and by_layers and declares.update != "approximate"


@pytest.mark.parametrize(("rule", "name"), [s for s in SUBJECTS if s[0] != "bp" and is_bp_when_b_is_w(s[0])])
def test_a_rule_that_uses_its_own_input_equals_bp_when_b_is_w(rule: str, name: str) -> None:
    stem = {"stem": "trained"} if resolve(rule).declares.stem == "fixed" else {}
    chosen = resolve(RULES[rule].choose(stem))
    if chosen.declares.update == "shared":
        chosen = own_input(rule, **stem)
    model, learner, x, y = attached(chosen, name)
    mirror(learner)
    learner.backward(x, y)
    assert_equal_to_backpropagation(model, name)


@pytest.mark.parametrize(("rule", "name"), [s for s in LIGHT if resolve(s[0]).declares.update == "shared"])
def test_sharing_changes_the_weight_gradients_and_nothing_else(rule: str, name: str) -> None:
    model, learner, x, y = attached(rule, name)
    mirror(learner)
    learner.backward(x, y)
    found, expected = gradients(model), autograd_of(name)
    convs = [f"{conv}.weight" for conv, _ in convolutions(model)]
    differ = {key for key in found if relative_error(found[key], expected[key]) > 1e-3}
    assert differ
    assert differ <= set(convs[2:])


WITHIN_A_BLOCK = {
    "alexnet": ["features.4"],
    "resnet10": ["stages.0.0.conv1", *(f"stages.{stage}.0.conv2" for stage in range(4))],
    TORCHVISION: ["layer1.0.conv1", *(f"layer{stage}.0.conv2" for stage in (1, 2, 3, 4))],
}
"""The layers that a local error travels through, behind others of their block, the stem being of the first."""


@varied
def test_error_paths_are_as_declared(rule: str, name: str) -> None:
    """Each layer behind the first carries its error as declared, and no layer twice."""
    model, learner, _, _ = attached(rule, name)
    declares = resolve(rule).declares
    weighted = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    expected = {}
    for layer, module in weighted[1:]:
        path = declares.error_path if isinstance(module, nn.Conv2d) else declares.linear
        if path in ("fixed", "learned", "signs", "product") and (
            declares.loss == "global" or layer in WITHIN_A_BLOCK[name]
        ):
            expected[layer] = path
    pairs = list(learner.feedback_pairs())
    assert sorted(layer for layer, _, _ in pairs) == sorted(expected)
    for layer, weight, feedback in pairs:
        assert weight is model.get_submodule(layer).weight
        assert feedback.shape == weight.shape
        assert feedback.dtype == weight.dtype
        assert feedback.requires_grad == (expected[layer] == "learned" and declares.feedback_update != "noise")
        assert not torch.equal(feedback, weight)
    trained = {id(p) for _, p in learner.trained_parameters()}
    assert all((id(b) in trained) == b.requires_grad for _, _, b in pairs)


@light
def test_only_the_declared_stem_is_left_untrained(rule: str, name: str) -> None:
    model, learner, x, y = attached(rule, name)
    learner.backward(x, y)
    stem = next(convolutions(model), (None, None))[0]
    fixed = {f"{stem}.weight"} if resolve(rule).declares.stem == "fixed" and stem else set()
    assert {key for key, p in model.named_parameters() if not p.requires_grad} == fixed
    assert {key for key, p in model.named_parameters() if p.grad is None} == fixed
    assert {key for key, _ in learner.trained_parameters() if not key.startswith(("feedback.", "head."))} == {
        key for key, _ in model.named_parameters()
    } - fixed


@pytest.mark.parametrize(("rule", "name"), [s for s in LIGHT if s[0] in ("kp", "asap")])
@pytest.mark.parametrize("classifier", ["fa", "kp"])
def test_learned_feedback_gets_the_weight_gradient(rule: str, name: str, classifier: str) -> None:
    _, learner, x, y = attached(resolve(RULES[rule].choose({"classifier": classifier})), name)
    learner.backward(x, y)
    learned = [(w, b) for _, w, b in learner.feedback_pairs() if b.requires_grad]
    assert bool(learned) == (name != "mlp" or classifier == "kp")
    for weight, feedback in learned:
        assert weight.grad is not None
        assert feedback.grad is not None
        assert torch.equal(weight.grad, feedback.grad)
        assert weight.grad.data_ptr() != feedback.grad.data_ptr()
        assert weight.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["alexnet", "resnet10"])
def test_sharing_in_the_feedback_path_leaves_the_weight_gradients_alone(name: str) -> None:
    """ASFP: dB is ASAP's on every layer behind c1, dW that of the layer's own input; on c1 they are one."""
    found = {}
    for rule in ("asfp", "asap", "kp"):
        _, learner, x, y = attached(rule, name)
        learner.backward(x, y)
        found[rule] = {layer: (w.grad, b.grad) for layer, w, b in learner.feedback_pairs() if b.requires_grad}
    assert set(found["asfp"]) == set(found["asap"])
    for number, (layer, (weight, feedback)) in enumerate(found["asfp"].items()):
        assert torch.equal(feedback, found["asap"][layer][1])
        torch.testing.assert_close(weight, found["kp"][layer][0], rtol=1e-9, atol=1e-12)
        assert (relative_error(feedback, weight) < 1e-3) == (number == 0), layer


@light
def test_fixed_tensors_never_change(rule: str, name: str) -> None:
    model, learner, x, y = attached(rule, name)
    frozen = {key: p.clone() for key, p in model.named_parameters() if not p.requires_grad}
    fixed = {key: b.clone() for key, b in learner.fixed_feedback()}
    digest = learner.fixed_digest()
    optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1, weight_decay=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        learner.backward(x, y)
        optimizer.step()
    assert all(torch.equal(b, fixed[key]) for key, b in learner.fixed_feedback())
    assert all(torch.equal(p, frozen[key]) for key, p in model.named_parameters() if key in frozen)
    assert learner.fixed_digest() == digest


@varied
def test_logits_are_the_plain_models(rule: str, name: str) -> None:
    plain, (_, learner, x, y) = model_of(name), attached(rule, name)
    expected = plain(x)
    assert torch.equal(plain(x), expected)  # as often as the learner's, for the running statistics
    torch.testing.assert_close(learner(x), expected, rtol=1e-12, atol=1e-12)
    objective = learner.objective(x, y)
    torch.testing.assert_close(objective.logits, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(objective.loss, F.cross_entropy(expected, y).detach(), rtol=1e-12, atol=1e-12)
    assert not objective.loss.requires_grad
    assert not objective.logits.requires_grad
    for training in (True, False):
        plain.train(training)
        learner.train(training)
        with torch.no_grad():
            assert torch.equal(learner(x), plain(x))


@light
def test_evaluation_mode_reaches_the_program(rule: str, name: str) -> None:
    plain, (_, learner, x, _) = model_of(name), attached(rule, name)
    plain.eval()
    learner.eval()
    torch.testing.assert_close(learner(x), plain(x), rtol=1e-12, atol=1e-12)


@light
def test_backward_adds_to_the_gradient(rule: str, name: str) -> None:
    _, learner, x, y = attached(rule, name)
    learner.begin_step()
    hold(learner)
    learner.backward(x, y)
    once = {key: p.grad.clone() for key, p in learner.trained_parameters() if p.grad is not None}
    learner.backward(x, y)
    for key, p in learner.trained_parameters():
        if key in once:
            assert torch.equal(p.grad, 2 * once[key])


@light
def test_the_objective_returns_gradients_and_never_writes_them(rule: str, name: str) -> None:
    _, learner, x, y = attached(rule, name)
    named = dict(learner.trained_parameters())
    hold(learner)
    returned = torch.autograd.grad(learner.objective(x, y).scalar, list(named.values()))
    assert all(p.grad is None for p in learner.parameters())
    learner.backward(x, y)
    assert all(torch.equal(g, p.grad) for g, p in zip(returned, named.values(), strict=True))


def projecting(subjects: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [s for s in subjects if resolve(s[0]).declares.error_path in ("projected", "learned_projection", "labels")]


class TestProjections:
    def taps(self, rule: str | Rule, name: str) -> tuple[nn.Module, ProjectedLearner, Tensor, list[Tensor], Tensor]:
        """A learner of `name`, its objective, its taps with their gradients kept, and what is projected to them."""
        model, learner, x, y = attached(rule, name)
        assert isinstance(learner, ProjectedLearner)
        kept: list[Tensor] = []

        def keep(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            inputs[0].retain_grad()
            kept.append(inputs[0])

        for module in learner.program.modules():
            if isinstance(module, Projection):
                module.register_forward_pre_hook(keep)
        objective = learner.objective(x, y)
        labels = F.one_hot(y, CLASSES).double() / len(y)
        error = objective.logits.softmax(1) / len(y) - labels
        signal = labels if resolve(rule).declares.error_path == "labels" else error
        return model, learner, objective.scalar, kept, signal

    @pytest.mark.parametrize(("rule", "name"), projecting(SUBJECTS))
    def test_the_gradient_at_each_tap_is_what_is_declared_through_its_projection(self, rule: str, name: str) -> None:
        """And no tap has two; what is learned gets the outer product of the two ends."""
        _, learner, scalar, taps, signal = self.taps(rule, name)
        scalar.backward()
        projections = [projection.weight for projection in learner.projections.values()]
        assert len(taps) == len(projections)
        learned = resolve(rule).declares.error_path == "learned_projection"
        assert len(list(learner.learned_beside())) == (len(taps) if learned else 0)
        assert len(list(learner.fixed_feedback())) == (0 if learned else len(taps))
        for tap, b in zip(taps, projections, strict=True):
            assert relative_error(tap.grad, (signal @ b.flatten(1)).view_as(tap)) < 1e-12
            if learned:
                assert relative_error(b.grad, torch.einsum("nk,n...->k...", signal, tap)) < 1e-12

    @pytest.mark.parametrize(("rule", "name"), projecting(LIGHT))
    def test_no_error_crosses_a_tap(self, rule: str, name: str) -> None:
        """Each parameter learns from one tap or from the head's cross-entropy, never from two."""
        model, _, _, taps, _ = self.taps(rule, name)
        parameters = dict(model.named_parameters())
        reached: dict[str, int] = dict.fromkeys(parameters, 0)
        for tap in taps:
            found = torch.autograd.grad(tap.sum(), parameters.values(), retain_graph=True, allow_unused=True)
            for key, gradient in zip(parameters, found, strict=True):
                reached[key] += gradient is not None
        head = {key for key in parameters if key.startswith(("fc.", "logits_bn."))}
        assert reached == {key: int(key not in head) for key in parameters}

    @pytest.mark.parametrize(("rule", "name"), projecting(LIGHT))
    def test_the_head_alone_learns_from_the_cross_entropy(self, rule: str, name: str) -> None:
        model, learner, x, y = attached(rule, name)
        loss = F.cross_entropy(learner(x), y)
        loss.backward()
        assert set(gradients(model)) == {k for k, _ in model.named_parameters() if k.startswith(("fc.", "logits_bn."))}
        expected = autograd_of(name)
        for key, gradient in gradients(model).items():
            if expected[key].abs().max() > 1e-12:
                assert relative_error(gradient, expected[key]) < TOLERANCE

    def test_no_error_reaches_a_tap_that_declares_labels(self) -> None:
        """Whatever the logits are, and the criterion: the hidden layers' gradients stay as they are."""
        found = []
        for criterion, shift in ((CrossEntropy(), 0.0), (CrossEntropy(0.3), 0.0), (CrossEntropy(), 1.0)):
            model = model_of("mlp")
            x, y = batch_of("mlp")
            with torch.no_grad():
                model.get_submodule("fc").weight.add_(shift)
            attach(model, "drtp", x, 4, criterion=criterion).backward(x, y)
            found.append({k: g for k, g in gradients(model).items() if not k.startswith(("fc.", "logits_bn."))})
        assert all(torch.equal(other[key], found[0][key]) for other in found[1:] for key in found[0])

    def test_the_sign_of_the_error_is_projected_where_chosen(self) -> None:
        rule = resolve(RULES["dfa"].choose({"error": "sign"}))
        _, learner, scalar, taps, error = self.taps(rule, "alexnet")
        scalar.backward()
        for tap, b in zip(taps, learner.projections.values(), strict=True):
            expected = (error.sign() / len(error)) @ b.weight.flatten(1)
            assert relative_error(tap.grad, expected.view_as(tap)) < 1e-12

    def test_projections_have_variance_one_over_classes(self) -> None:
        _, learner, _, _ = attached("dfa", "resnet18")
        everything = torch.cat([b.flatten() for _, b in learner.fixed_feedback()])
        assert everything.mean().abs() < 0.01
        assert everything.var().item() == pytest.approx(1 / CLASSES, rel=0.05)

    def test_projections_of_labels_are_kaiming_uniform(self) -> None:
        _, learner, _, _ = attached("drtp", "alexnet")
        for _, b in learner.fixed_feedback():
            assert 0.9 < b.abs().max() / (6 / b.shape[1]) ** 0.5 <= 1


@pytest.mark.parametrize(("rule", "name"), [s for s in LIGHT if resolve(s[0]).declares.error_path == "input"])
def test_hidden_layers_learn_from_what_the_error_changes_at_the_input_alone(rule: str, name: str) -> None:
    """Without its projection nothing but the head has a gradient."""
    model, learner, x, y = attached(rule, name)
    ((_, projection),) = learner.fixed_feedback()
    learner.backward(x, y)
    learned = {key for key, gradient in gradients(model).items() if gradient.abs().max() > 1e-12}
    model.zero_grad()
    projection.zero_()
    learner.backward(x, y)
    without = {key for key, gradient in gradients(model).items() if gradient.abs().max() > 1e-12}
    head = {key for key in learned if key.startswith(("fc.", "logits_bn."))}
    assert without == head < learned
    assert {key for key in gradients(model) if key not in learned} <= {
        key for key in autograd_of(name) if autograd_of(name)[key].abs().max() < 1e-12
    }


@pytest.mark.parametrize("rule", ["kp", "fa", "asap"])
def test_random_feedback_has_the_forward_weights_scale(rule: str) -> None:
    """Kaiming-uniform with a = sqrt 5 for convolutions; uniform(-1, 1) for fully connected layers."""
    _, learner, _, _ = attached(rule, "resnet18")
    for layer, weight, feedback in learner.feedback_pairs():
        bound = 1.0 if layer == "fc" else weight[0].numel() ** -0.5
        assert feedback.abs().max() <= bound
        assert feedback.abs().max() > 0.9 * bound
        correlation = torch.corrcoef(torch.stack([weight.detach().flatten(), feedback.detach().flatten()]))[0, 1]
        assert abs(correlation) < 5 * weight.numel() ** -0.5


def test_feedback_layers_share_the_models_weights() -> None:
    model, learner, _, _ = attached("asap", "resnet10")
    for layer in learner.program.modules():
        if isinstance(layer, FeedbackLayer):
            assert any(layer.layer is module for module in model.modules())


def test_an_untrained_stem_behind_a_trained_layer_keeps_its_feedback() -> None:
    """With BatchNorm on the images the error travels through c0 too: by a fixed B, since c0 learns nothing."""
    x, y = batch_of("alexnet")
    model = nn.Sequential(nn.BatchNorm2d(3), model_of("alexnet")).double()
    learner = attach(model, "asap", x, seed=4)
    assert {name: b.requires_grad for name, _, b in learner.feedback_pairs()}["1.features.0"] is False
    learner.backward(x, y)
    assert model[0].weight.grad is not None
    assert learner.bind(torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.1)) is None
