"""W - B follows a scalar: the recursion against the explicit form, when it is refused, and how it resumes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asapbench.rules import Learner, attach
from asapbench.rules.engine import host
from asapbench.rules.engine.functions import rebuilt_feedback
from asapbench.rules.engine.recursion import ScalarRecursion, group_of
from asapbench.suite.catalog import RULES

STEPS = 200
RATES = (0.05, 0.02, 0.08, 0.01)
SETTINGS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "plain": (torch.optim.SGD, {"weight_decay": 0.01}),
    "plain with dampening": (torch.optim.SGD, {"weight_decay": 0.01, "dampening": 0.3}),
    "momentum": (torch.optim.SGD, {"weight_decay": 0.01, "momentum": 0.9}),
    "dampening": (torch.optim.SGD, {"weight_decay": 0.01, "momentum": 0.9, "dampening": 0.3}),
    "nesterov": (torch.optim.SGD, {"weight_decay": 0.01, "momentum": 0.9, "nesterov": True}),
    "no decay": (torch.optim.SGD, {"weight_decay": 0.0, "momentum": 0.9}),
    "maximize": (torch.optim.SGD, {"weight_decay": 0.01, "momentum": 0.9, "maximize": True}),
    "fused": (torch.optim.SGD, {"weight_decay": 0.01, "momentum": 0.9, "fused": True}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.3}),
    "adamw amsgrad": (torch.optim.AdamW, {"weight_decay": 0.3, "amsgrad": True}),
}
settings = pytest.mark.parametrize(("kind", "options"), SETTINGS.values(), ids=SETTINGS)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c0, self.c1, self.c2 = (nn.Conv2d(i, o, 3, padding=1, bias=False) for i, o in ((3, 3), (3, 4), (4, 5)))
        self.b0, self.b1, self.b2 = (nn.BatchNorm2d(n) for n in (3, 4, 5))
        self.hidden, self.fc = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.b0(self.c0(x)))
        x = torch.tanh(self.b1(self.c1(x)))
        x = torch.tanh(self.b2(self.c2(x)))
        x = torch.tanh(self.hidden(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))
        logits: Tensor = self.fc(x)
        return logits


class Dense(nn.Module):
    """Small enough for 200 steps of every setting."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh())
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.layers(nn.functional.adaptive_avg_pool2d(x, 2)))
        return logits


def learner_of(rule: str = "asap", *, model: type[nn.Module] = Small, dtype: torch.dtype = torch.float64) -> Learner:
    torch.manual_seed(0)
    choice = RULES[rule].choose({"classifier": "kp"})
    return attach(model().to(dtype), choice, torch.randn(2, 3, 6, 6, dtype=dtype), seed=1)


def optimizer_of(learner: Learner, kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> torch.optim.Optimizer:
    return kind([p for _, p in learner.trained_parameters()], lr=RATES[0], **options)


def steps(learner: Learner, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    """Steps `first` to `last` on data of their own, the rate changing every seven."""
    dtype = next(learner.model.parameters()).dtype
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["lr"] = RATES[step // 7 % len(RATES)]
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(6, 3, 6, 6, generator=draw, dtype=torch.float64).to(dtype)
        optimizer.zero_grad()
        learner.backward(x, torch.randint(3, (6,), generator=draw))
        optimizer.step()


@settings
def test_the_difference_is_a_scalar_times_its_start(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> None:
    """Explicit W and B, and beside them s: B = W - s D0 to 1e-13 after each of 200 steps."""
    learner = learner_of("kp", model=Dense)
    optimizer = optimizer_of(learner, kind, options)
    start = {name: (w - b).detach() for name, w, b in learner.feedback_pairs()}
    assert set(start) == {"layers.3", "fc"}
    recursion = ScalarRecursion(torch.device("cpu"))
    for step in range(STEPS):
        steps(learner, optimizer, step, step + 1)
        recursion.advance(optimizer.param_groups[0])
        for name, weight, feedback in learner.feedback_pairs():
            difference = (weight - recursion.s * start[name] - feedback).abs().max()
            assert difference < 1e-13 * max(1.0, weight.abs().max().item())
    assert (recursion.s < 0.95) == (options["weight_decay"] > 0)


RATE_AS = {
    "a number": float,
    "a float64 tensor": lambda rate: torch.tensor(rate, dtype=torch.float64),
    "a float32 tensor": lambda rate: torch.tensor(rate, dtype=torch.float32),
}


@pytest.mark.parametrize("rate_as", RATE_AS)
@settings
def test_the_scalars_have_the_bits_of_float64_arithmetic(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], rate_as: str
) -> None:
    """The equations in NumPy. A rate may lie on the device, in a precision of its own."""
    group = kind([nn.Parameter(torch.zeros(1))], lr=RATES[0], **options).param_groups[0]
    decay, mu, tau = np.float64(group["weight_decay"]), group.get("momentum", 0.0), group.get("dampening", 0.0)
    recursion = ScalarRecursion(torch.device("cpu"))
    s, q = np.float64(1), np.float64(0)
    for step in range(STEPS):
        group["lr"] = RATE_AS[rate_as](RATES[step // 7 % len(RATES)])
        recursion.advance(group)
        rate, pull = np.float64(float(group["lr"])), decay * s
        if kind is torch.optim.AdamW:
            s = s * (1 - rate * decay)
        else:
            # torch adds a multiple with one rounding or two, as the processor does.
            blended = torch.from_numpy(np.array(mu * q)).add_(torch.from_numpy(np.array(pull)), alpha=1 - tau)
            q = pull if step == 0 or mu == 0 else np.float64(blended.item())
            s = s - rate * (pull + mu * q if group["nesterov"] else q)
        found = recursion.state_dict()
        assert (found["s"].item(), found["q"].item(), found["steps"].item()) == (s, q, step + 1)
        assert recursion.scale.item() == np.float32(s)


def test_a_first_pull_of_minus_zero_leaves_s_as_it_is() -> None:
    recursion = ScalarRecursion(torch.device("cpu"))
    recursion.advance({"lr": 0.1, "weight_decay": -0.0, "momentum": 0.9, "dampening": 0.0, "nesterov": False})
    assert (recursion.s.item(), recursion.q.item()) == (1, 0)


@pytest.mark.parametrize("readable", [True, False])
def test_feedback_is_rebuilt_as_w_minus_s_d0(readable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that the host would wait for it is another operation: here on a CPU."""
    monkeypatch.setattr(host, "computes", lambda _: readable)
    draw = torch.Generator().manual_seed(1)
    weight, difference = (torch.randn(7, 5, 3, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    scale = torch.tensor(0.7312345678901234, dtype=torch.float64)
    exact = weight.numpy() - scale.item() * difference.numpy()
    np.testing.assert_allclose(rebuilt_feedback(weight, difference, scale).numpy(), exact, rtol=0, atol=2e-15)
    single = rebuilt_feedback(weight.float(), difference.float(), scale.float())
    assert single.dtype == torch.float32
    exact = weight.float().double() - scale * difference.float().double()
    # 2^-24 of the number s, of the product and of the result.
    bound = 2**-24 * (2 * (scale * difference).abs() + exact.abs()) * 1.01
    assert ((single.double() - exact).abs() <= bound).all()
    last = weight.contiguous(memory_format=torch.channels_last)
    order = difference.contiguous(memory_format=torch.channels_last)
    assert rebuilt_feedback(last, order, scale).is_contiguous(memory_format=torch.channels_last)


def test_a_checkpoint_holds_s_q_and_the_steps_and_its_s_is_used_at_once() -> None:
    learner = learner_of(dtype=torch.float32)
    assert learner.bind(optimizer_of(learner, torch.optim.SGD, {"momentum": 0.9})) is None
    assert {name: value.dtype for name, value in learner.rule_state().items()} == {
        "recursion.s": torch.float64,
        "recursion.q": torch.float64,
        "recursion.steps": torch.int64,
    }
    start = {name: (w - b).detach() for name, w, b in learner.feedback_pairs()}
    stored = {"s": torch.tensor(0.25, dtype=torch.float64), "q": torch.tensor(0.5), "steps": torch.tensor(9)}
    learner.load_rule_state({f"recursion.{name}": value for name, value in stored.items()})
    for name, weight, feedback in learner.feedback_pairs():
        torch.testing.assert_close(feedback, weight - 0.25 * start[name])
    assert learner.rule_state()["recursion.steps"] == 9


@settings
def test_a_bound_learner_trains_as_the_explicit_one(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> None:
    explicit, bound = learner_of(), learner_of()
    assert [name for name, _, _ in explicit.feedback_pairs()] == ["c1", "c2", "hidden", "fc"]
    optimizers = [optimizer_of(learner, kind, options) for learner in (explicit, bound)]
    assert bound.bind(optimizers[1]) is None
    assert not any(name.startswith("feedback.") for name, _ in bound.trained_parameters())
    assert len(optimizers[1].param_groups[0]["params"]) == len(list(bound.trained_parameters()))
    for learner, optimizer in zip((explicit, bound), optimizers, strict=True):
        steps(learner, optimizer, 0, 25)
    for (_, w, b), (_, w2, b2) in zip(explicit.feedback_pairs(), bound.feedback_pairs(), strict=True):
        assert (w - w2).abs().max() < 1e-10
        assert (b - b2).abs().max() < 1e-10


def test_binding_changes_no_feedback_weight() -> None:
    learner = learner_of()
    before = {name: b.detach().clone() for name, _, b in learner.feedback_pairs()}
    assert learner.bind(optimizer_of(learner, torch.optim.SGD, {})) is None
    for name, weight, feedback in learner.feedback_pairs():
        assert feedback.shape == weight.shape
        torch.testing.assert_close(feedback, before[name], rtol=1e-14, atol=1e-15)


class TestRefused:
    def reason(self, optimizer: torch.optim.Optimizer, learner: Learner, said: str) -> None:
        explicit = {name for name, _ in learner.trained_parameters()}
        reason = learner.bind(optimizer)
        assert reason is not None
        assert said in reason
        assert learner.recursion is None
        assert {name for name, _ in learner.trained_parameters()} == explicit

    @pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad])
    def test_other_optimizers(self, kind: type[torch.optim.Optimizer]) -> None:
        learner = learner_of()
        self.reason(optimizer_of(learner, kind, {"weight_decay": 0.1}), learner, f"{kind.__name__} does not act")

    def test_subclasses_that_may_step_otherwise(self) -> None:
        class Own(torch.optim.SGD):
            pass

        learner = learner_of()
        self.reason(optimizer_of(learner, Own, {}), learner, "Own does not act")

    def test_forward_and_feedback_in_two_groups(self) -> None:
        learner = learner_of()
        groups = [
            {"params": [p for name, p in learner.trained_parameters() if name.startswith("feedback.") == feedback]}
            for feedback in (False, True)
        ]
        self.reason(torch.optim.SGD(groups, lr=0.1), learner, "not in one parameter group")

    def test_feedback_left_out(self) -> None:
        learner = learner_of()
        optimizer = torch.optim.SGD(learner.model.parameters(), lr=0.1)
        self.reason(optimizer, learner, "not in one parameter group")

    def test_layers_with_different_settings(self) -> None:
        learner = learner_of()
        groups = [
            {"params": [p for name, p in learner.trained_parameters() if ("fc" in name) == fc], "weight_decay": decay}
            for fc, decay in ((False, 0.1), (True, 0.2))
        ]
        self.reason(torch.optim.SGD(groups, lr=0.1), learner, "different settings")

    def test_an_optimizer_that_has_stepped(self) -> None:
        learner = learner_of()
        optimizer = optimizer_of(learner, torch.optim.SGD, {"momentum": 0.9})
        steps(learner, optimizer, 0, 1)
        self.reason(optimizer, learner, "already taken steps")


def test_a_rule_without_learned_feedback_has_nothing_to_bind() -> None:
    learner = attach(Small(), "fa", torch.randn(2, 3, 6, 6), seed=1)
    assert learner.bind(torch.optim.Adam(learner.model.parameters())) is None
    assert learner.recursion is None


@pytest.mark.parametrize(
    ("kind", "options", "bound"),
    [(*setting, True) for setting in SETTINGS.values()] + [(*SETTINGS["momentum"], False)],
    ids=[*SETTINGS, "explicit"],
)
def test_a_resumed_learner_continues_bit_for_bit(
    kind: type[torch.optim.Optimizer], options: dict[str, Any], bound: bool
) -> None:
    def fresh() -> tuple[Learner, torch.optim.Optimizer]:
        learner = learner_of(dtype=torch.float32)
        optimizer = optimizer_of(learner, kind, options)
        if bound:
            assert learner.bind(optimizer) is None
        return learner, optimizer

    straight, optimizer = fresh()
    steps(straight, optimizer, 0, 5)
    saved = copy.deepcopy((straight.model.state_dict(), straight.rule_state(), optimizer.state_dict()))
    steps(straight, optimizer, 5, 16)

    resumed, other = fresh()
    assert resumed.fixed_digest() == straight.fixed_digest()
    resumed.model.load_state_dict(saved[0])
    resumed.load_rule_state(saved[1])
    other.load_state_dict(saved[2])
    steps(resumed, other, 5, 16)
    for (name, w, b), (_, w2, b2) in zip(straight.feedback_pairs(), resumed.feedback_pairs(), strict=True):
        assert torch.equal(w, w2), name
        assert torch.equal(b, b2), name
    for name, value in straight.rule_state().items():
        assert torch.equal(value, resumed.rule_state()[name]), name


def test_a_missing_state_is_an_error() -> None:
    learner = learner_of()
    learner.bind(optimizer_of(learner, torch.optim.SGD, {}))
    with pytest.raises(KeyError, match=r"recursion\.s"):
        learner.load_rule_state({})


def test_the_recursion_counts_only_steps_that_are_taken() -> None:
    learner = learner_of()
    optimizer = optimizer_of(learner, torch.optim.SGD, {"weight_decay": 0.1})
    learner.bind(optimizer)
    assert learner.recursion is not None
    learner.backward(torch.randn(6, 3, 6, 6, dtype=torch.float64), torch.zeros(6, dtype=torch.int64))
    assert learner.recursion.s == 1
    optimizer.step()
    assert learner.recursion.s.item() == pytest.approx(1 - 0.1 * RATES[0], rel=1e-15)
    assert learner.recursion.s.dtype == torch.float64


def test_a_parameters_group_is_found_by_identity() -> None:
    one, other = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([{"params": [one]}, {"params": [nn.Parameter(torch.zeros(3))]}], lr=0.1)
    assert group_of(optimizer, one) is optimizer.param_groups[0]
    assert group_of(optimizer, other) is None
