"""Forward Alignment against what its definition says of special cases, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from subjects import batch_of, gradients, model_of, relative_error
from torch import Tensor, nn

from asapbench.errors import GraphError
from asapbench.models import build, initialise
from asapbench.randomness import fan_in_uniform
from asapbench.rules import Learner, attach
from asapbench.suite.catalog import MODELS, RULES

OPTIONS = [
    {"source": source, "approximate": approximate}
    for source in RULES["forward_alignment"].option("source").choices
    for approximate in RULES["forward_alignment"].option("approximate").choices
]
X, Y = batch_of("mlp")


def attached(model: nn.Module, **options: str) -> Learner:
    return attach(model, RULES["forward_alignment"].choose(options), X, seed=4)


def network(**options: bool | int) -> nn.Module:
    model = build(MODELS["mlp"].choose({"hidden": 6, **options}), channels=3, size=12, classes=10)
    initialise(model, 1)
    return model.double()


def backpropagated(model: nn.Module) -> dict[str, Tensor]:
    plain = copy.deepcopy(model)
    F.cross_entropy(plain(X), Y).backward()
    return gradients(plain)


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """A bias in front of BatchNorm has no gradient but rounding: it is left out."""
    return max(relative_error(found[k], expected[k]) for k in expected if expected[k].abs().max() > 1e-12)


def mirror(learner: Learner) -> None:
    for _, weight, c in learner.aligned_pairs():
        c.copy_(weight.detach())


@pytest.mark.parametrize("approximate", ["affine", "own"])
@pytest.mark.parametrize("source", ["activation", "approximation"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_with_c_equal_to_w_it_is_backpropagation(source: str, approximate: str, depth: int) -> None:
    model = network(depth=depth)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
                module.bias.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(2))
    learner = attached(model, source=source, approximate=approximate)
    mirror(learner)
    learner.backward(X, Y)
    assert largest_difference(gradients(model), backpropagated(model)) < 1e-10


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
def test_with_c_equal_to_w_a_linear_network_without_biases_is_backpropagations(options: dict[str, str]) -> None:
    model = network(nonlinear=False)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.bias.zero_()
    learner = attached(model, **options)
    mirror(learner)
    learner.backward(X, Y)
    assert largest_difference(gradients(model), backpropagated(model)) < 1e-10


@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
def test_only_weights_behind_the_first_layer_differ_from_backpropagation(
    options: dict[str, str], nonlinear: bool
) -> None:
    """The error path is backpropagation's: biases, BatchNorm and the first layer get its gradients."""
    model = network(nonlinear=nonlinear)
    learner = attached(model, **options)
    learner.backward(X, Y)
    found, expected = gradients(model), backpropagated(model)
    behind = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)} - {"hidden.0"}
    differ = {k for k in expected if expected[k].abs().max() > 1e-12 and relative_error(found[k], expected[k]) > 1e-9}
    assert differ == {f"{name}.weight" for name in behind}


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o.values()))
def test_the_approximate_path_leaves_no_trace_in_the_model(options: dict[str, str]) -> None:
    model, plain = network(depth=3), network(depth=3)
    learner = attached(model, **options)
    streams = torch.get_rng_state()
    for net in (learner.program, plain):
        net.train()
        net(X)
        net.eval()
        net(X)
    assert torch.equal(streams, torch.get_rng_state())
    state = plain.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_every_layer_but_the_last_has_a_c_of_its_own_stream_at_the_weights_scale() -> None:
    model = network(depth=3)
    learner = attached(model)
    pairs = {name: (weight, c) for name, weight, c in learner.aligned_pairs()}
    assert list(pairs) == ["hidden.0", "hidden.3", "hidden.6"]
    for name, (weight, c) in pairs.items():
        assert weight is model.get_submodule(name).weight
        expected = torch.empty_like(weight, requires_grad=False)
        fan_in_uniform(expected, seed=4, purpose="feedback", name=name)
        assert torch.equal(c, expected)
        assert c.abs().max() <= weight.shape[1] ** -0.5
    assert dict(learner.fixed_feedback()).keys() == pairs.keys()
    assert not list(learner.feedback_pairs())


def test_the_angles_of_other_rules_are_those_of_their_feedback() -> None:
    learner = attach(network(), "fa", X)
    assert [name for name, *_ in learner.aligned_pairs()] == [name for name, *_ in learner.feedback_pairs()]


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ReLU(inplace=True)])
def test_an_activation_without_batchnorm_is_applied_to_c_h(activation: nn.Module) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.activation = nn.Linear(12, 5), nn.Linear(5, 4), activation

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.b(self.activation(self.a(x)))
            return logits

    model, x = Plain().double(), torch.randn(7, 12, dtype=torch.float64)
    y = torch.arange(7) % 4
    learner = attach(model, RULES["forward_alignment"].choose({"approximate": "normalised"}), x, seed=2)
    learner.backward(x, y)
    ((_, _, c),) = learner.aligned_pairs()
    with torch.no_grad():
        delta = (model(x).softmax(1) - F.one_hot(y, 4)) / 7
        expected = delta.T @ activation(x @ c.T)
    assert relative_error(model.b.weight.grad, expected) < 1e-12


class Chain(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.a, self.b, self.c = nn.Linear(432, 8), nn.Linear(8, 8), nn.Linear(8, 10)
        self.bn, self.dropout = nn.BatchNorm1d(8), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x.flatten(1))
        h = self.dropout(h) if self.way == "dropout" else self.bn(torch.relu(h))
        logits: Tensor = self.c(self.b(h))
        return logits


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("dropout", "dropout: stands between a and b"),
        ("batchnorm", "relu: stands between a and b"),
    ],
)
def test_what_is_no_plain_chain_is_refused_by_name(way: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        attach(Chain(way).double(), "forward_alignment", X)


def test_a_convolution_is_refused_by_name() -> None:
    with pytest.raises(GraphError, match=r"features\.0: a convolution; forward_alignment is for fully connected"):
        attach(model_of("alexnet"), "forward_alignment", X)
