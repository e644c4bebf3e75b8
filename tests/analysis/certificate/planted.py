"""Rules with one planted fault each, beside the shipped rules that they are made of. Also a plug-in file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from asapbench.rules.base import Declares
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner
from asapbench.rules.engine.local import Head
from asapbench.rules.fa import FA
from asapbench.rules.kp import KP
from asapbench.rules.local_errors import LocalErrors
from asapbench.suite.entries import RuleEntry


def planted(name: str, like: RuleEntry) -> RuleEntry:
    return RuleEntry(name, name, "a planted fault", options=like.options)


class NothingReachesHiddenLayers(LocalErrors):
    """Every local loss is zero, whatever the unit computes."""

    entry = planted("nothing_reaches", LocalErrors.entry)

    def head(self, shape: torch.Size, classes: int, *, seed: int, name: str) -> Head:
        class Nothing(Head):
            def forward(self, h: Tensor, y: Tensor) -> Tensor:
                return (0 * h).sum()

        return Nothing()


class TransposedFeedbackGradient(KP):
    """dB is the transpose of dW."""

    entry = planted("transposed", KP.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        learner = super().learner(model, flow, seed)
        for layer in learner.feedback_layers.values():
            if layer.learned is not None and layer.learned.shape[0] == layer.learned.shape[1]:
                layer.learned.register_hook(lambda gradient: gradient.transpose(0, 1))
        return learner


def _copy_weights(layers: dict[str, FeedbackLayer]) -> None:
    with torch.no_grad():
        for layer in layers.values():
            if layer.fixed is not None:
                layer.fixed.copy_(layer.layer.weight)


class TiedLearner(Learner):
    def begin_step(self) -> None:
        _copy_weights(self.feedback_layers)


class TiedFeedback(FA):
    """B is a copy of W, made before every step."""

    entry = planted("tied", FA.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        made = super().learner(model, flow, seed)
        return TiedLearner(made.model, made.program, made.feedback_layers)


class LeakingUnits(LocalErrors):
    """Declares units without errors between them, and does not detach them."""

    entry = planted("leaking", LocalErrors.entry)
    leaks = False

    @property
    def declares(self) -> Declares:
        kept = super().declares
        return Declares(kept.update, kept.error_path, kept.linear, kept.stem, loss="both") if self.leaks else kept

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        self.leaks = True
        try:
            return super().learner(model, flow, seed)
        finally:
            self.leaks = False


class DecayingLearner(Learner):
    def learned_beside(self) -> Iterator[tuple[str, nn.Parameter]]:
        for name, layer in self.feedback_layers.items():
            yield f"feedback.{name}", layer.learned

    def bind(self, optimizer: torch.optim.Optimizer) -> str:
        return "B has no gradient"


class DecayingFeedback(FA):
    """A fixed B without a gradient that the optimizer gets all the same: weight decay moves it."""

    entry = planted("decaying", FA.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        made = super().learner(model, flow, seed)
        for layer in made.feedback_layers.values():
            layer.learned, layer.fixed = nn.Parameter(layer.fixed), None
            layer.learned.register_hook(torch.zeros_like)
        return DecayingLearner(made.model, made.program, made.feedback_layers)


class WrittenGradients(FA):
    """The backward pass writes `.grad`."""

    entry = planted("written", FA.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        weight = flow.layers[0].module.weight

        def write(gradient: Tensor) -> None:
            weight.grad = gradient.clone()

        weight.register_hook(write)
        return super().learner(model, flow, seed)


class SharedStorage(FA):
    """B is W: the same memory."""

    entry = planted("shared_storage", FA.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        learner = super().learner(model, flow, seed)
        for layer in learner.feedback_layers.values():
            layer.fixed = layer.layer.weight.data
        return learner


class GlobalRandomness(FA):
    """B is drawn from torch's global random stream."""

    entry = planted("global_randomness", FA.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        learner = super().learner(model, flow, seed)
        for layer in learner.feedback_layers.values():
            layer.fixed = torch.rand_like(layer.fixed) - 0.5
        return learner


class ForgetfulLearner(Learner):
    def rule_state(self) -> dict[str, Any]:
        return {}

    def load_rule_state(self, state: dict[str, Any]) -> None:
        pass


class ForgottenFeedback(KP):
    """The learned B is not in the rule's state."""

    entry = planted("forgotten", KP.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        made = super().learner(model, flow, seed)
        return ForgetfulLearner(made.model, made.program, made.feedback_layers)


class IgnoredSeed(FA):
    """B is the same for every seed."""

    entry = planted("ignored_seed", FA.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        return super().learner(model, flow, 0)
