"""Local rules: every unit's gradient is that of its own loss, computed alone, and no error crosses a boundary."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import heads_oracle
import numpy as np
import oracle
import pytest
import torch
from subjects import VARIED, batch_of, model_of
from test_oracle import CLASSES, NETWORKS, random_kernels, torch_model
from torch import Tensor, nn

from asapbench.rules import CrossEntropy, Learner, attach, resolve
from asapbench.rules.engine.local import LocalLearner
from asapbench.rules.local import LocalRule
from asapbench.suite.catalog import RULES
from asapbench.suite.options import Choice

BLOCKS = [name for name in NETWORKS if name != "grouped"]
SHARING = ("alexnet", "resnet10", "resnet10_nsc", "resnet18")
CASES = (
    [(net, rule, {"unit": "conv"}) for net in NETWORKS for rule in ("local_errors", "predsim", "dgl", "phsic")]
    + [(net, rule, {"unit": "block"}) for net in BLOCKS for rule in ("local_errors", "predsim", "dgl", "phsic")]
    + [("resnet10", "local_errors", {"feedback": feedback}) for feedback in ("sign", "random")]
    + [
        (net, "predsim", {"loss": loss, "bpf": bpf})
        for net in ("alexnet", "resnet10", "mlp")
        for loss in ("pred", "sim", "predsim")
        for bpf in (False, True)
    ]
    + [("resnet10", "predsim", {"beta": 0.5})]
    + [("alexnet", rule, {"label_smoothing": 0.1}) for rule in ("local_errors", "predsim", "dgl", "asfp_lc", "phsic")]
    + [("alexnet", "predsim", {"label_smoothing": 0.1, "loss": "pred", "bpf": bpf}) for bpf in (False, True)]
    + [("resnet10", "asfp_lc", {"label_smoothing": 0.1, "loss": "added"})]
    + [("resnet10", "dgl", {"hidden_layers": hidden}) for hidden in (1, 2)]
    + [
        (net, "phsic", {"kernel": kernel, "estimator": estimator, **more})
        for net in ("alexnet", "resnet10", "mlp")
        for kernel in ("cosine", "gaussian")
        for estimator in ("phsic", "hsic")
        for more in ({"groups": 0}, {"groups": 3, "power": 0.8, "delta": 0.3, "gamma": 1.5, "sigma": 0.7})
    ]
    + [(net, "auglocal", {}) for net in ("alexnet", "resnet10", "resnet10_nsc", "resnet18", "mlp")]
    + [("resnet10", "auglocal", {"depth": 1}), ("mlp of 3", "auglocal", {"depth": 1, "pyramid": 0.0})]
    + [("grouped", "auglocal", {"unit": "conv"}), ("alexnet", "auglocal", {"label_smoothing": 0.1})]
    + [(net, "asfp_lc", {"loss": loss, "k": k}) for net in SHARING for loss in ("local", "added") for k in (1, 2)]
    + [(net, "asfp_lc", {"unit": "group", "k": k}) for net in (*SHARING, "grouped") for k in (1, 2, 3, 4)]
    + [("resnet10", "asfp_lc", {"unit": "group", "loss": "added", "k": 4})]
    + [("resnet10", "asfp_lc", {"unit": unit, "stem": "trained"}) for unit in ("block", "group")]
    + [("alexnet", "asfp_lc", {"classifier": "kp", "matching": "random", "linear_feedback": "kaiming"})]
)
HEADS: Mapping[str, Callable[..., oracle.Head]] = {
    "local_errors": heads_oracle.classifier,
    "asfp_lc": heads_oracle.trained_classifier,
    "predsim": heads_oracle.predsim,
    "dgl": heads_oracle.auxiliary,
    "phsic": heads_oracle.phsic,
    "auglocal": heads_oracle.auglocal,
}

LOCAL = [(rule, name) for rule, name in VARIED if resolve(rule).declares.loss == "local"]
local = pytest.mark.parametrize(("rule", "name"), LOCAL)


TOLD = {
    "predsim": ("beta", "loss", "bpf", "classes"),
    "dgl": ("hidden_layers",),
    "auglocal": ("depth", "network"),
    "phsic": ("classes", "kernel", "sigma", "groups", "power", "delta", "gamma", "estimator"),
}
"""What a head is told beside its tensors."""


def test_the_oracle_has_a_head_of_every_local_rule() -> None:
    assert set(HEADS) == {rule for rule in RULES if resolve(rule).declares.loss != "global"}


def head_tensors(learner: Learner) -> list[dict[str, np.ndarray]]:
    assert isinstance(learner, LocalLearner)
    found = []
    for head in learner.heads:
        named = (*head.named_parameters(), *head.named_buffers(remove_duplicate=False))
        found.append({name: tensor.detach().numpy().copy() for name, tensor in named})
    return found


def moved_off_zero(learner: Learner) -> None:
    """Decoders start at zero, and would send back none."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for key, parameter in learner.trained_parameters():
            if key.startswith("head."):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))


def units_of(net: oracle.Network, choice: Choice) -> list[tuple[str, int]]:
    """The units by hand: (last layer, value that ends it)."""
    kind = choice.text("unit")
    if choice.name == "auglocal":
        layers = [end for end in net.ends[kind] if end[0] in net.main] or net.ends[kind]
        return layers[: max(1, len(layers) - 1 - choice.integer("depth"))]
    if choice.name == "predsim":
        return [(last, before_max_pool(net, value)) for last, value in net.ends[kind]]
    if kind != "group":
        ends = net.ends[kind]
        stem_joins = choice.name == "asfp_lc" and choice.text("stem") == "fixed"
        return ends[1:] if stem_joins else ends
    last = [*net.main[1 :: choice.integer("k")], net.main[-1]]  # c0 and c1 together, then k at a time
    return [end for end in net.ends["conv"] if end[0] in last or end[0] not in net.main]


def before_max_pool(net: oracle.Network, value: int) -> int:
    operation = net.operations[value - 1]
    return operation.inputs[0] if operation.kind == "maxpool" else value


def output_share(choice: Choice) -> float:
    """The factor of the output's own loss: 1 - beta in predsim, where that is the share of each unit's prediction."""
    both = choice.name == "predsim" and choice.text("loss") == "predsim"
    return 1 - choice.number("beta") if both else 1.0


@pytest.mark.parametrize(
    ("name", "rule", "options"), CASES, ids=[f"{n}-{r}-{'-'.join(map(str, o.values()))}" for n, r, o in CASES]
)
def test_gradients_equal_the_oracle(name: str, rule: str, options: dict[str, object]) -> None:
    net = NETWORKS[name][0]
    model, x, y = torch_model(name)
    smoothing = options.get("label_smoothing", 0.0)
    options = {key: value for key, value in options.items() if key != "label_smoothing"}
    choice = RULES[rule].choose(options)
    learner = attach(model, choice, x, seed=5, criterion=CrossEntropy(smoothing))
    moved_off_zero(learner)
    ends = units_of(net, choice)
    assert learner.units == tuple(unit for unit, _ in ends)
    told = {k: v for k, v in {**options, "classes": CLASSES, "network": name}.items() if k in TOLD.get(rule, ())}
    with_tensors = zip(head_tensors(learner), ends, strict=True)
    heads = [HEADS[rule](tensors, unit=unit, smoothing=smoothing, **told) for tensors, (unit, _) in with_tensors]
    local = oracle.Local(
        tuple(zip((value for _, value in ends), heads, strict=True)),
        apart=options.get("loss") != "added",
        output_share=output_share(choice),
    )
    equations = {key: value for key, value in options.items() if key in ("k", "matching", "classifier", "stem")}
    as_written = oracle.Rule(rule, **equations)
    before = {key: value.detach().numpy().copy() for key, value in model.named_parameters()}
    feedback = {layer: b.detach().numpy().copy() for layer, _, b in learner.feedback_pairs()}
    objective = learner.backward(x, y)
    expected = oracle.run(
        net,
        before,
        x.numpy(),
        y.numpy(),
        as_written,
        feedback=feedback,
        kernels=random_kernels(learner),
        local=local,
        smoothing=smoothing,
    )
    assert set(feedback) == oracle.feedback_layers(net, as_written, local)
    found = {key: p.grad.numpy() for key, p in learner.trained_parameters() if p.grad is not None}
    assert set(found) == set(expected.gradients)
    assert objective.loss.item() == pytest.approx(expected.loss, rel=1e-12)
    total = local.output_share * expected.loss + sum(expected.local_losses)
    assert objective.scalar.item() == pytest.approx(total, rel=1e-12)
    for key, wanted in expected.gradients.items():
        scale = np.abs(wanted).max()
        if scale < 1e-12:  # a bias in front of BatchNorm has no gradient but rounding
            assert np.abs(found[key]).max() < 1e-12, key
        else:
            # A gradient of 1e-8 is what is left of terms of size one: their rounding is larger than its share.
            assert np.abs(found[key] - wanted).max() <= max(1e-9 * scale, 1e-15), key


@pytest.mark.parametrize(("options", "count"), [({}, 214_154), ({"hidden_layers": 2}, 147_338 + 2 * 256)])
def test_dgls_head_has_the_parameters_of_the_authors_program(options: dict[str, object], count: int) -> None:
    """Behind 64 maps of 32x32; two hidden layers, the reading of the work's text, make 147,338 and their biases."""
    rule = resolve(RULES["dgl"].choose(options))
    assert isinstance(rule, LocalRule)
    head = rule.head(torch.Size((2, 64, 32, 32)), 10, seed=0, name="unit")
    assert sum(parameter.numel() for parameter in head.parameters()) == count


@pytest.mark.parametrize("bpf", [False, True])
def test_predsims_decoders_start_at_zero_except_for_the_bias_which_is_torchs_unless_backprop_free(bpf: bool) -> None:
    learner = attach(model_of("resnet10"), RULES["predsim"].choose({"bpf": bpf}), batch_of("resnet10")[0], seed=4)
    decoders = {key: p for key, p in learner.trained_parameters() if ".pred.decoder." in key}
    assert len(decoders) == 2 * len(learner.units)
    for key, parameter in decoders.items():
        bound = 0.0
        if key.endswith(".bias") and not bpf:
            bound = decoders[f"{key.removesuffix('.bias')}.weight"].shape[1] ** -0.5
        assert parameter.abs().max() <= bound
        assert parameter.abs().max() >= 0.5 * bound


def local_losses(learner: Learner, x: Tensor, y: Tensor) -> list[Tensor]:
    """The loss of each unit, then the output's."""
    assert isinstance(learner, LocalLearner)
    logits, losses = learner.program(x, y)
    return [*losses, nn.functional.cross_entropy(logits, y)]


def reached_by(loss: Tensor, learner: Learner) -> set[str]:
    """The trained parameters that `loss` sends an error to."""
    parameters = dict(learner.trained_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {key for key, gradient in zip(parameters, found, strict=True) if gradient is not None}


@local
def test_no_error_crosses_a_units_boundary(rule: str, name: str) -> None:
    """Each parameter learns from one loss alone: the model's from that of their unit, a head's from its own."""
    learner = attach(model_of(name), rule, batch_of(name)[0], seed=4)
    losses = local_losses(learner, *batch_of(name))
    reached = {
        unit: reached_by(loss, learner) for unit, loss in zip((*learner.units, "output"), losses, strict=True)
    }  # fmt: skip
    assert sum(map(len, reached.values())) == len(dict(learner.trained_parameters()))
    assert set.union(*reached.values()) == set(dict(learner.trained_parameters()))
    for unit in learner.units:
        assert f"{unit}.weight" in reached[unit]
        assert all(key.startswith(f"head.{unit}.") for key in reached[unit] if key.startswith("head."))
    assert {"fc.weight", "fc.bias"} <= reached["output"]


@local
def test_a_units_gradient_does_not_depend_on_what_follows(rule: str, name: str) -> None:
    """Other weights and heads behind a unit change no bit before its end."""
    x, y = batch_of(name)
    found = []
    for disturbed in (False, True):
        learner = attach(model_of(name), rule, x, seed=4)
        first = learner.units[: max(1, len(learner.units) // 2)]
        early = reached_by(torch.stack(local_losses(learner, x, y)[: len(first)]).sum(), learner)
        if disturbed:
            with torch.no_grad():
                for key, tensor in (*learner.trained_parameters(), *learner.fixed_feedback()):
                    if key not in early and not key.startswith(tuple(f"head.{unit}." for unit in first)):
                        tensor.mul_(1.5).add_(0.01)
        learner.backward(x, y)
        found.append({key: p.grad for key, p in learner.trained_parameters()})
    assert early
    assert all(torch.equal(found[0][key], found[1][key]) for key in early)
    assert any(not torch.equal(found[0][key], found[1][key]) for key in set(found[0]) - early)


@local
def test_heads_are_not_part_of_the_model(rule: str, name: str) -> None:
    """What is evaluated and kept is the plain network; what the heads learn is kept beside it."""
    model = model_of(name)
    learner = attach(model, rule, batch_of(name)[0], seed=4)
    assert set(model.state_dict()) == set(model_of(name).state_dict())
    heads = {key for key in learner.rule_state() if key.startswith("head.")}
    assert heads == {key for key, _ in learner.trained_parameters() if key.startswith("head.")}
