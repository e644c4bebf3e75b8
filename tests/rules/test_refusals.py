"""What a rule cannot be attached to is refused, and the message names the place."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from asapbench.errors import AsapbenchError, GraphError, SuiteError
from asapbench.rules import attach
from asapbench.suite.catalog import RULES

X = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Parts(nn.Module):
    """Layers that the networks below put together in `way`."""

    def __init__(self, way: Callable[[Parts, Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way
        self.c0, self.c1, self.c2, self.c3 = nn.Conv2d(3, 4, 3, padding=1), conv(), conv(), conv()
        self.wide = nn.Conv2d(8, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.lstm = nn.LSTM(4, 4)
        self.circular = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
        self.same = nn.Conv2d(4, 4, 3, padding="same")
        self.scale, self.matrix = nn.Parameter(torch.ones(1)), nn.Parameter(torch.eye(12))
        self.tied = nn.Conv2d(4, 4, 3, padding=1)
        self.tied.weight = self.c1.weight
        self.bn, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(self.way(self, x), 1).flatten(1))
        return logits


def conv() -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, padding=1)


def branches(net: Parts, x: Tensor) -> Tensor:
    return net.c1(x) if x.sum() > 0 else net.c2(x)


REFUSED: dict[str, tuple[Callable[[Parts, Tensor], Tensor], str]] = {
    "called twice": (lambda net, x: net.c1(torch.relu(net.c1(net.c0(x)))), "c1: called twice"),
    "BatchNorm called twice": (lambda net, x: net.c1(net.bn(net.bn(net.c0(x)))), "bn: called twice"),
    "a weight shared by two layers": (lambda net, x: net.tied(net.c1(net.c0(x))), "tied: shares a weight with c1"),
    "a layer's weight outside the layer": (
        lambda net, x: net.c1(net.c0(x)) * net.c1.weight.mean(),
        "c1.weight: a weight of c1 that is used outside that layer",
    ),
    "a matrix product with a parameter": (
        lambda net, x: net.c0(x) @ net.matrix.transpose(0, 1),
        "matrix: a parameter in the matrix product matmul, .* use nn.Linear",
    ),
    "a tensor made in forward": (
        lambda net, x: net.c0(x) + torch.ones(1),
        "Parts: forward makes a tensor of its own",
    ),
    "a forward that differs in evaluation": (
        lambda net, x: net.c1(net.c0(x)) if net.training else net.c0(x),
        "c1: computed otherwise in training than in evaluation",
    ),
    "some examples of a batch": (lambda net, x: net.c0(x[:1]), "getitem: takes some examples of a batch"),
    "a transposed convolution": (lambda net, x: net.up(net.c0(x)), "up: .*ConvTranspose2d"),
    "a recurrent layer": (lambda net, x: net.lstm(net.c0(x))[0], "lstm: .*LSTM"),
    "circular padding": (lambda net, x: net.circular(net.c0(x)), "circular: padding"),
    "padding by a word": (lambda net, x: net.same(net.c0(x)), "same: padding"),
    "an unknown function": (lambda net, x: torch.fft.fft(net.c0(x)).real, "fft"),
    "an unknown method": (lambda net, x: net.c0(x).cumsum(1), "cumsum"),
    "dynamic control flow": (branches, "Parts: its dataflow cannot be captured .*must not branch on values"),
    "functional dropout": (lambda net, x: F.dropout(net.c0(x), 0.5, net.training), "dropout: computed otherwise"),
    "dropout in evaluation, too": (lambda net, x: F.dropout(net.c0(x), 0.5), "dropout: the operation dropout is not"),
    "a parameter changed in place": (lambda net, x: net.c0(x) + net.scale.add_(1), "add_: changes scale in place"),
    "an in-place operation by position": (
        lambda net, x: net.c1((h := net.bn(net.c0(x)), F.relu(h, True))[0]),
        "relu: .*in place",
    ),
    "an in-place operation on a view": (
        lambda net, x: net.c1((h := net.bn(net.c0(x)), torch.relu_(h.transpose(2, 3)))[0]),
        "relu_: .*in place",
    ),
    "an in-place operation behind whose back its input is read": (
        lambda net, x: net.c1((h := net.bn(net.c0(x)), torch.relu_(h))[0]),
        "relu_: .*in place",
    ),
}


@pytest.mark.parametrize("rule", ["bp", "asap", "dfa"])
@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case: str, rule: str) -> None:
    way, message = REFUSED[case]
    with pytest.raises(GraphError, match=message):
        attach(Parts(way), rule, X)


@pytest.mark.parametrize("rule", ["asap", "local_errors"])
def test_two_paths_of_equally_many_convolutions_are_refused_where_one_is_needed(rule: str) -> None:
    net = Parts(lambda net, x: torch.relu(net.c1(h := net.c0(x)) + net.c2(h)))
    with pytest.raises(GraphError, match=r"tie between paths, c1 and c2 .* other rules such as fa"):
        attach(net, rule, X)
    for other in ("bp", "fa", "kp", "dfa"):
        attach(net, other, X)


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (lambda net, x: net.attention(x, x + 1, x + 1)[0], "other than one tensor"),
        (lambda net, x: net.attention(x, x, x)[1], "its attention weights are used"),
        (lambda net, x: net.attention(x, x, x, is_causal=True)[0], "called with is_causal"),
        (lambda net, x: net.late(x, x, x)[0], "without batch_first=True"),
        (lambda net, x: net.attention(net.attention(x, x, x)[0], x, x)[0], "called twice|other than one tensor"),
    ],
)
def test_attention_that_cannot_be_written_out_is_refused(way: Callable[..., Tensor], reason: str) -> None:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
            self.late = nn.MultiheadAttention(12, 2)
            self.fc = nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.fc(way(self, x).mean(1))
            return logits

    with pytest.raises(GraphError, match=rf"(attention|late): .*({reason}).*(nn.Linear layers|each weight)"):
        attach(Attending(), "fa", torch.zeros(2, 5, 12))


def test_a_shortcut_past_every_activation_is_refused_by_dfa() -> None:
    """Direct feedback alignment would leave c0 to backpropagation."""
    net = Parts(lambda net, x: (h := net.c0(x)) + net.c1(torch.relu(h)))
    with pytest.raises(GraphError, match=r"c0: the output's own error reaches this layer on a shortcut .* fa or kp"):
        attach(net, "dfa", X)
    attach(net, "fa", X)
    last = nn.Sequential(nn.Flatten(), nn.Linear(432, 2), nn.ReLU())
    with pytest.raises(GraphError, match="dfa: an activation is behind the last layer"):
        attach(last, "dfa", X)


def test_several_outputs_and_outputs_that_are_no_logits_are_refused() -> None:
    class Outputs(Parts):
        def forward(self, x: Tensor) -> Tensor:
            return self.way(self, x)

    with pytest.raises(GraphError, match="returns several values; a rule needs one tensor of logits"):
        attach(Outputs(lambda net, x: (net.c0(x), x)), "bp", X)  # type: ignore[arg-type, return-value]
    with pytest.raises(GraphError, match=r"c0: the model returns a tensor of \(2, 4, 12, 12\); a rule needs logits"):
        attach(Outputs(lambda net, x: net.c0(x)), "bp", X)


@pytest.mark.parametrize("rule", ["local_errors", "predsim"])
def test_local_losses_need_maps_or_features(rule: str) -> None:
    tokens = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Flatten(), nn.Linear(60, 2))
    with pytest.raises(GraphError, match=r"1: a unit .* tensor of \(2, 5, 12\), where local losses .* fa or kp"):
        attach(tokens, rule, torch.zeros(2, 5, 12))


def test_forward_alignment_needs_features() -> None:
    tokens = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Flatten(), nn.Linear(60, 2))
    with pytest.raises(GraphError, match=r"0: reads a tensor of \(2, 5, 12\); .* use fa or kp"):
        attach(tokens, "forward_alignment", torch.zeros(2, 5, 12))


@pytest.mark.parametrize("rule", [rule for rule, entry in RULES.items() if entry.needs == "convolutions"])
def test_fewer_than_three_convolutions_have_nothing_to_share(rule: str) -> None:
    net = Parts(lambda net, x: net.c1(torch.relu(net.c0(x))))
    net.unit_ends = ["c0", "c1"]
    with pytest.raises(GraphError, match="at least 3 convolutions on the main path, and there are 2"):
        attach(net, rule, X)
    with pytest.raises(GraphError, match="at least 3 convolutions on the main path, and there are 0"):
        attach(nn.Sequential(nn.Flatten(), nn.Linear(432, 3), nn.ReLU(), nn.Linear(3, 2)), rule, X)


def test_growing_maps_are_refused_by_name() -> None:
    grows = nn.Conv2d(4, 4, 3, padding=3)

    def way(net: Parts, x: Tensor) -> Tensor:
        return net.c2(torch.relu(net.c1(torch.relu(net.c0(x)))))

    net = Parts(way)
    net.c1 = grows
    with pytest.raises(GraphError, match=r"c2: .*12x12, smaller than its input of 16x16"):
        attach(net, "asap", X)
    attach(net, "kp", X)


def test_no_stride_takes_the_map_to_the_size_wanted() -> None:
    random = RULES["asap"].choose({"matching": "random"})
    net = Parts(lambda net, x: net.c2(torch.relu(net.c1(torch.relu(net.c0(x))))))
    net.c1 = nn.Conv2d(4, 4, 5)
    with pytest.raises(GraphError, match=r"c2: no stride takes maps of 12 to 8"):
        attach(net, random, X)
    attach(net, "asap", X)


def test_dfa_needs_an_activation() -> None:
    with pytest.raises(GraphError, match="no activation"):
        attach(Parts(lambda net, x: net.c1(net.c0(x))), "dfa", X)


def test_a_sample_that_does_not_fit_is_refused() -> None:
    with pytest.raises(GraphError, match=r"^c0: inputs of shape \(2, 5, 12, 12\) do not fit"):
        attach(Parts(lambda net, x: net.c0(x)), "bp", X.new_zeros(2, 5, 12, 12))


def test_whatever_a_layer_says_of_a_sample_is_reported_with_its_name() -> None:
    with pytest.raises(GraphError, match=r"^bn: inputs of shape \(2, 4\) do not fit .*expected 4D input"):
        attach(nn.Sequential(OrderedDict(bn=nn.BatchNorm2d(4), fc=nn.Linear(4, 2))), "bp", torch.zeros(2, 4))


def test_a_module_without_weights_is_refused() -> None:
    with pytest.raises(GraphError, match="no convolution or fully connected layer"):
        attach(nn.Sequential(nn.Flatten()), "bp", X)


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(SuiteError, match='unknown rule "asup"; did you mean "asap"'):
        attach(Parts(lambda net, x: net.c0(x)), "asup", X)
    assert issubclass(GraphError, AsapbenchError)


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.reshape(len(X), -1),
        lambda x: torch.flatten(x, 1),
    ],
    ids=["size", "shape", "number", "flatten"],
)
@pytest.mark.parametrize("rule", [rule for rule, entry in RULES.items() if entry.needs != "linear"])
def test_every_way_to_flatten_is_taken(flatten: Callable[[Tensor], Tensor], rule: str) -> None:
    class Flat(Parts):
        def forward(self, x: Tensor) -> Tensor:
            h = F.adaptive_avg_pool2d(self.way(self, x), 1)
            logits: Tensor = self.fc(flatten(h))
            return logits

    net = Flat(lambda net, x: torch.relu(net.c2(torch.relu(net.c1(torch.relu(net.c0(x)))))))
    by_layers = {
        "dgl": {"unit": "conv"},
        "auglocal": {"unit": "conv"},
        "asfp_lc": {"unit": "group"},
    }  # it has no blocks
    learner = attach(net, RULES[rule].choose(by_layers.get(rule, {})), X)
    learner.backward(X, torch.tensor([0, 1]))
    assert net.c2.weight.grad is not None
