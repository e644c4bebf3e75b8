"""What a certificate is measured on: a rule, copies of one module, and random batches, in float64 on the CPU.

Every attach and every pass starts from known global random streams. So a module's dropout repeats, and a rule that
draws from such a stream is found by the one property that this concerns.
"""

from __future__ import annotations

import copy
import math
import random
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from asapbench.randomness import integers, normal
from asapbench.rules.base import ErrorPath, Rule
from asapbench.rules.engine.criterion import Criterion
from asapbench.rules.engine.graph import Dataflow, WeightLayer, capture
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner

STEPS = 3
"""Steps of the optimizer after which a property is measured again."""

SAME = 1e-9
"""The largest relative difference, in float64, between gradients that are the same except for rounding."""


@dataclass(frozen=True)
class Subject:
    """`rule` on copies of `module`, float64 on the CPU; `shape` is that of a batch."""

    rule: Rule
    module: nn.Module
    shape: torch.Size
    seed: int = 0
    flow: Dataflow = field(init=False)
    _after: dict[int, Learner] = field(init=False, default_factory=dict)
    _flows: weakref.WeakKeyDictionary[Learner, Dataflow] = field(
        init=False, default_factory=weakref.WeakKeyDictionary, repr=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "flow", capture(copy.deepcopy(self.module), torch.zeros(self.shape)))

    def attached(self, *, seed: int | None = None, criterion: Criterion | None = None) -> Learner:
        """The rule on a new copy of the module, in training mode. Raises GraphError."""
        chosen = self.seed if seed is None else seed
        model = copy.deepcopy(self.module).train()
        with known_streams(chosen):
            flow = capture(model, torch.zeros(self.shape))
            learner = self.rule.learner(model, flow, chosen)
        self._flows[learner] = flow
        if criterion is not None:
            learner.use_criterion(criterion)
        return learner.train()

    def batch(self, number: int = 0) -> tuple[Tensor, Tensor]:
        """Random inputs and labels; each `number` is another batch."""
        x = normal(self.shape, deviation=1, seed=self.seed, purpose="certificate", name=f"inputs {number}")
        drawn = integers(self.shape[0], seed=self.seed, purpose="certificate labels", key=number)
        labels = (drawn % np.uint64(self.flow.classes)).astype(np.int64)
        return x.double(), torch.from_numpy(labels)

    def trained(self, steps: int = STEPS, *, criterion: Criterion | None = None) -> Learner:
        """A learner after `steps` steps of `optimizer_of`."""
        learner = self.attached(criterion=criterion)
        train(learner, optimizer_of(learner), self, range(steps))
        return learner

    def after(self, steps: int) -> Learner:
        """A learner after `steps` steps, kept for all who only measure and leave it as it was."""
        if steps not in self._after:
            self._after[steps] = self.trained(steps)
            self._after[steps].begin_step()
        return self._after[steps]

    @property
    def layers(self) -> dict[str, WeightLayer]:
        """The convolutions and fully connected layers of the module, in forward order."""
        return {layer.name: layer for layer in self.flow.layers}

    def weight_of(self, learner: Learner, layer: str) -> nn.Parameter:
        """W of a layer of the model that `attached` gave to `learner`.

        By the layer's module: of attention that is written out, the model names the parameter otherwise.
        """
        weight = next(each.module.weight for each in self._flows[learner].layers if each.name == layer)
        assert isinstance(weight, nn.Parameter)
        return weight

    def path(self, layer: str) -> ErrorPath:
        """What the rule declares to carry the error through `layer`."""
        declares = self.rule.declares
        return declares.error_path if self.layers[layer].is_convolution else declares.linear


class RuleError(Exception):
    """What an error of a rule's or a model's own code becomes, with that error as its cause."""


@contextmanager
def code_of_rule() -> Iterator[None]:
    """Where what fails is the rule's, also if the error is raised inside torch, as by autograd."""
    try:
        yield
    except Exception as error:
        raise RuleError from error


def optimizer_of(learner: Learner) -> torch.optim.Optimizer:
    """SGD with momentum and weight decay over everything that the rule trains."""
    parameters = [parameter for _, parameter in learner.trained_parameters()]
    with code_of_rule():
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.05)


def train(learner: Learner, optimizer: torch.optim.Optimizer, subject: Subject, steps: range) -> None:
    """One step of the optimizer for each number of `steps`, on the batch of that number.

    The gradients' total norm is at most 1, so that a step is small beside the weights: a fixed B can give a gradient
    100 times larger, after whose step BatchNorm makes all later ones vanish.
    """
    for step in steps:
        x, y = subject.batch(step)
        with code_of_rule(), known_streams(step):
            optimizer.zero_grad()
            learner.backward(x, y)
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 1.0)
            optimizer.step()


def carriers(learner: Learner) -> set[int]:
    """The identities of the tensors that carry errors: each B and what it is made of, in heads too, and projections."""
    layers = [module for module in learner.modules() if isinstance(module, FeedbackLayer)]
    of_layers = [parameter for layer in layers for parameter in layer.parameters(recurse=False)]
    projections = [parameter for name, parameter in learner.learned_beside() if name.startswith("feedback.")]
    pairs = [feedback for _, _, feedback in learner.feedback_pairs()]
    return {id(tensor) for tensor in (*pairs, *of_layers, *projections)}


def gradients(
    learner: Learner, x: Tensor, y: Tensor, *, between: Callable[[], None] = lambda: None
) -> dict[str, Tensor]:
    """The rule's gradient of each trained parameter, zeros where there is none; `.grad` is not touched.

    `between` runs after the forward pass and before the backward pass.
    """
    with known_streams(0):
        scalar = learner.objective(x, y).scalar
        between()
        with code_of_rule():
            return differentiated(scalar, dict(learner.trained_parameters()))


def differentiated(scalar: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of `scalar` with respect to each of `parameters`; zeros where it does not depend on one."""
    if not scalar.requires_grad:
        return {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    found = torch.autograd.grad(scalar, list(parameters.values()), allow_unused=True)
    pairs = zip(parameters.items(), found, strict=True)
    return {name: torch.zeros_like(parameter) if one is None else one for (name, parameter), one in pairs}


def difference(found: Tensor, expected: Tensor, *, floor: float = 0.0) -> float:
    """The largest difference over the largest expected size, or over `floor` where that is larger; inf for NaN."""
    if expected.numel() == 0:
        return 0.0
    scale = max(float(expected.abs().max()), floor)
    far = float((found - expected).abs().max())
    if not math.isfinite(far) or not math.isfinite(scale):
        return math.inf
    return far / scale if scale > 0 else far


def largest(tensors: Mapping[str, Tensor]) -> float:
    """The largest size in any of the tensors."""
    return max((float(tensor.abs().max()) for tensor in tensors.values() if tensor.numel()), default=0.0)


def noise(like: Tensor, name: str) -> Tensor:
    """Normal numbers of the shape and type of `like`, with its standard deviation (1 where that is zero)."""
    spread = float(like.detach().std()) if like.numel() > 1 else 1.0
    drawn = normal(like.shape, deviation=spread or 1.0, seed=0, purpose="certificate change", name=name)
    return drawn.to(like)


@contextmanager
def known_streams(seed: int) -> Iterator[None]:
    """Runs with the global random streams at a state that `seed` gives, and restores them."""
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)


def streams() -> tuple[bytes, str, str]:
    """The state of the global random streams of torch, NumPy and Python."""
    return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state()), str(random.getstate())
