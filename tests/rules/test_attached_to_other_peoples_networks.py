"""`attach` on networks of other people: the gradients are those of the rule's equations, or one error says why not.

The expected gradients use torch's own modules alone. A layer's forward hook replaces its output by one of the same
value: W x for the gradient of W, plus B x minus its own value for the gradient of x.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from library_networks import NETWORKS
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from asapbench.errors import GraphError
from asapbench.rules import Learner, attach
from asapbench.suite.catalog import RULES

CONVOLUTIONAL = ["resnet50", "vgg11_bn", "mobilenet_v2", "densenet121"]
TOLERANCE = 1e-9


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    floor = 1e-12 * max(float(each.abs().max()) for each in expected.values())  # a bias in front of BatchNorm
    for name, gradient in expected.items():
        assert gradient.isfinite().all(), name
        difference, scale = float((found[name] - gradient).abs().max()), float(gradient.abs().max())
        assert difference <= TOLERANCE * scale + floor, name


def learned(network: str, rule: str) -> tuple[nn.Module, Learner]:
    """A copy of the network before any step, and the learner behind one backward pass in training mode."""
    model, (x, y) = NETWORKS[network](), NETWORKS[network].batch()
    before = copy.deepcopy(model)
    learner = attach(model, rule, x, seed=3)
    torch.manual_seed(7)  # of dropout
    logits = learner.backward(x, y).logits
    torch.manual_seed(7)
    torch.testing.assert_close(logits, copy.deepcopy(before)(x), rtol=1e-9, atol=1e-12)
    return before, learner


def expected_gradients(model: nn.Module, network: str) -> dict[str, Tensor]:
    x, y = NETWORKS[network].batch()
    torch.manual_seed(7)
    F.cross_entropy(model(x), y).backward()
    return gradients(model)


def applied(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def led_through(layer: nn.Module, feedback: Tensor, x: Tensor) -> Tensor:
    """The layer's output; its error reaches `x` through `feedback`."""
    carried = applied(layer, x, feedback, None)
    return applied(layer, x.detach(), layer.weight, layer.bias) + carried - carried.detach()


class Attention(nn.Module):
    """nn.MultiheadAttention by its definition, each projection with a feedback weight."""

    def __init__(self, whole: nn.MultiheadAttention, feedback: dict[str, Tensor]) -> None:
        super().__init__()
        self.in_proj_weight, self.in_proj_bias = whole.in_proj_weight, whole.in_proj_bias
        self.out_proj, self.heads, self.feedback = whole.out_proj, whole.num_heads, feedback

    def forward(self, x: Tensor, *_: Tensor, need_weights: bool) -> tuple[Tensor, None]:
        width = x.shape[2]
        carried = F.linear(x, self.feedback["in_proj"])
        every = F.linear(x.detach(), self.in_proj_weight, self.in_proj_bias) + carried - carried.detach()
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in every.split(width, 2))
        weights = torch.softmax(q @ k.mT / (width // self.heads) ** 0.5, -1)
        return led_through(self.out_proj, self.feedback["out_proj"], (weights @ v).transpose(1, 2).flatten(2)), None


def with_feedback(model: nn.Module, feedback: dict[str, Tensor]) -> nn.Module:
    """`model` with the error of each named layer led through its B."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MultiheadAttention):
            own = {part: feedback.pop(f"{name}.{part}") for part in ("in_proj", "out_proj")}
            model.set_submodule(name, Attention(module, own))
    for name, b in feedback.items():
        model.get_submodule(name).register_forward_hook(
            lambda layer, inputs, _output, b=b: led_through(layer, b, inputs[0])
        )
    return model


@pytest.mark.parametrize("network", NETWORKS)
def test_bp_is_autograd(network: str) -> None:
    plain, learner = learned(network, "bp")
    found = gradients(learner.model)
    assert len(found) == len(list(plain.parameters()))
    assert_same(found, expected_gradients(plain, network))


@pytest.mark.parametrize("rule", ["fa", "kp"])
@pytest.mark.parametrize("network", NETWORKS)
def test_feedback_rules_lead_the_error_through_b_in_every_layer(network: str, rule: str) -> None:
    plain, learner = learned(network, rule)
    feedback = {name: b.detach() for name, _, b in learner.feedback_pairs()}
    layers = [name for name, m in plain.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    projections = [f"{n}.in_proj" for n, m in plain.named_modules() if isinstance(m, nn.MultiheadAttention)]
    assert set(feedback) >= {*layers, *projections} - set(layers[:1])
    expected = expected_gradients(with_feedback(plain, feedback), network)
    assert_same(gradients(learner.model), expected)


class ErrorsAtTaps(TorchFunctionMode):
    """Detaches what activations return, or the max-pool that follows one; `taps` are pairs (computed, read)."""

    def __init__(self) -> None:
        super().__init__()
        self.taps: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ == "max_pool2d" and self.taps and args[0] is self.taps[-1][1]:
            computed = func(self.taps.pop()[0], *args[1:], **(kwargs or {}))
        else:
            computed = func(*args, **(kwargs or {}))
            if func not in (F.relu, F.hardtanh):  # the latter of ReLU6
                return computed
        self.taps.append((computed, computed.detach()))
        return self.taps[-1][1]


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_dfa_leads_the_output_error_to_every_activation(network: str) -> None:
    plain, learner = learned(network, "dfa")
    torch.manual_seed(7)
    assert_same(gradients(learner.model), by_projected_errors(plain, learner, *NETWORKS[network].batch()))


def test_dfa_leads_the_output_error_to_activations_of_tokens() -> None:
    layers = [nn.LayerNorm(6), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 8), nn.ReLU(), nn.Flatten(), nn.Linear(40, 3)]
    plain = nn.Sequential(*layers).double()
    x, y = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1)).double(), torch.arange(4) % 3
    learner = attach(copy.deepcopy(plain), "dfa", x, seed=3)
    learner.backward(x, y)
    assert [b.shape for _, b in learner.fixed_feedback()] == [(3, 5 * 7), (3, 5 * 8)]
    assert_same(gradients(learner.model), by_projected_errors(plain, learner, x, y))


def by_projected_errors(plain: nn.Module, learner: Learner, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    projections = [b for _, b in learner.fixed_feedback()]
    with ErrorsAtTaps() as errors:
        logits = plain(x)
    F.cross_entropy(logits, y).backward()
    output_error = (logits.detach().softmax(1) - F.one_hot(y, logits.shape[1])) / len(y)
    for (computed, _), b in zip(errors.taps, projections, strict=True):
        computed.backward((output_error @ b).view(computed.shape), retain_graph=True)
    return gradients(plain)


def fitted(shared: Tensor, x: Tensor) -> Tensor:
    """Channels repeated and cut, then the maximum over windows (Woo et al. 2021, D.2)."""
    channels = torch.arange(x.shape[1]) % shared.shape[1]
    return F.adaptive_max_pool2d(shared[:, channels], x.shape[2:])


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_activation_sharing_takes_weight_gradients_from_the_input_of_the_group(network: str) -> None:
    """k = 2: c_i, from c2 on, shares the input of c_j with the odd j before it: c2 and c3 that of c1."""
    plain, learner = learned(network, "as")
    convolutions = {name: m for name, m in plain.named_modules() if isinstance(m, nn.Conv2d)}
    main = [name for name in convolutions if "downsample" not in name]
    inputs: dict[int, Tensor] = {}

    def share(layer: nn.Module, x: tuple[Tensor, ...], _output: Tensor, *, place: int) -> Tensor:
        inputs.setdefault(place, x[0].detach())
        source = inputs[place] if place < 2 else fitted(inputs[2 * ((place - 2) // 2) + 1], x[0])
        updated = applied(layer, source, layer.weight, layer.bias)
        fixed = None if layer.bias is None else layer.bias.detach()
        return applied(layer, x[0], layer.weight.detach(), fixed) + updated - updated.detach()

    for name, layer in convolutions.items():
        beside = name.replace("downsample.0", "conv1")  # a shortcut shares as the convolution that reads the same does
        layer.register_forward_hook(partial(share, place=main.index(beside)))
    convolutions[main[0]].requires_grad_(False)
    assert_same(gradients(learner.model), expected_gradients(plain, network))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains_every_layer_or_is_refused(rule: str, network: str) -> None:
    """Why it is refused stands in docs/library.md."""
    model, (x, y) = NETWORKS[network](), NETWORKS[network].batch()
    try:
        learner = attach(model, rule, x, seed=3)
    except GraphError:
        return
    learner.backward(x, y)
    for name, parameter in learner.trained_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
