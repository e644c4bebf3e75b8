"""Rules with one planted fault each, beside the shipped rules that they are made of. Also a plug-in file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from asapbench.rules.asfp_lc import ASFPLocal
from asapbench.rules.base import Declares, LayerPlan
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner
from asapbench.rules.engine.local import Head
from asapbench.rules.engine.mirror import MirrorFeedback, Mirroring
from asapbench.rules.engine.product import ProductFeedback
from asapbench.rules.fa import FA
from asapbench.rules.kp import KP
from asapbench.rules.local_errors import LocalErrors
from asapbench.rules.pfa import PFA
from asapbench.rules.weight_mirror import WeightMirror
from asapbench.suite.entries import RuleEntry


def planted(name: str, like: RuleEntry) -> RuleEntry:
    return RuleEntry(name, name, "a planted fault", options=like.options)


def learned(flow: Dataflow, made: Callable[[nn.Module], FeedbackLayer]) -> dict[str, LayerPlan]:
    """Every layer with the learned B that `made` makes of it."""
    return {layer.name: LayerPlan("learned", made=made) for layer in flow.layers}


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


class RebuiltLearner(Learner):
    @torch.no_grad()
    def begin_step(self) -> None:
        super().begin_step()
        for layer in self.feedback_layers.values():
            if layer.learned is not None:
                layer.learned.copy_(1.5 * layer.layer.weight.tanh())


class RebuiltFeedback(KP):
    """The learned B is a function of W, not proportional to it, made before every step."""

    entry = planted("rebuilt", KP.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        made = super().learner(model, flow, seed)
        return RebuiltLearner(made.model, made.program, made.feedback_layers)


class TiedHeads(ASFPLocal):
    """The learned B of each local classifier is a copy of its W, made before every step."""

    entry = planted("tied_heads", ASFPLocal.entry)

    def learner(self, model: nn.Module, flow: Dataflow, seed: int) -> Learner:
        learner = super().learner(model, flow, seed)
        heads = [module for module in learner.heads.modules() if isinstance(module, FeedbackLayer)]

        class Tied(type(learner)):
            def begin_step(self) -> None:
                super().begin_step()
                with torch.no_grad():
                    for layer in heads:
                        if layer.learned is not None:
                            layer.learned.copy_(layer.layer.weight)

        learner.__class__ = Tied
        return learner


_MIRRORING = Mirroring(amplitude=0.1, eta=1.0, decay=0.01, batch=8, steps=1)


class NoisyCopy(MirrorFeedback):
    @torch.no_grad()
    def begin_step(self, step: int) -> None:
        weight = self.layer.weight
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step)).to(weight)
        self.feedback_weight().copy_(weight * (1 + 0.3 * drawn))


class CopyWithNoise(WeightMirror):
    """B is declared to learn from noise, and is a copy of W with noise."""

    entry = planted("copy_with_noise", WeightMirror.entry)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        return learned(flow, lambda layer: NoisyCopy(layer, (layer.in_features,), _MIRRORING))


class SilentMirror(WeightMirror):
    """The noise is zero: B decays to nothing."""

    entry = planted("silent_mirror", WeightMirror.entry)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        silent = replace(_MIRRORING, amplitude=0.0)
        return learned(flow, lambda layer: MirrorFeedback(layer, (layer.in_features,), silent))


class Stuck(ProductFeedback):
    def held(self) -> Tensor:
        return self._product().detach()


class StuckProduct(PFA):
    """The learned factor gets no gradient: the rule is feedback alignment."""

    entry = planted("stuck_product", PFA.entry)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        return learned(flow, lambda layer: Stuck(layer, 4))


class Climbing(ProductFeedback):
    def held(self) -> Tensor:
        product = self._product()
        return product.detach() - 10 * (product - product.detach())


class ClimbingProduct(PFA):
    """The learned factor gets its gradient times -10."""

    entry = planted("climbing_product", PFA.entry)

    def plan(self, flow: Dataflow) -> dict[str, LayerPlan]:
        return learned(flow, lambda layer: Climbing(layer, 4))


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
