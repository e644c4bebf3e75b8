"""A model with a rule attached: its objective's ordinary autograd gradient is the rule's gradient."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor, fx, nn

from asapbench.rules.engine.criterion import Criterion, cross_entropy
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.matching import RandomProjection
from asapbench.rules.engine.recursion import ScalarRecursion, group_of, why_not_exact


class Objective(NamedTuple):
    """`scalar`: what to differentiate. `loss`: the criterion of the logits, for the record. `logits`: (N, K)."""

    scalar: Tensor
    loss: Tensor
    logits: Tensor


Compute = Callable[[Tensor, Tensor], Objective]
"""The objective of images (N, C, H, W) and labels (N,)."""


class Learner(nn.Module):
    """The plain `model` and the `program` that trains it: the same modules, with feedback layers in their places."""

    def __init__(self, model: nn.Module, program: fx.GraphModule, layers: dict[str, FeedbackLayer]) -> None:
        super().__init__()
        self.model = model
        self.program = program
        self.feedback_layers = layers
        self.recursion: ScalarRecursion | None = None
        self.steps = 0
        self.criterion: Criterion = cross_entropy
        self.register_state_dict_post_hook(_add_state_of_rule)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_state_of_rule)  # type: ignore[no-untyped-call]

    def use_criterion(self, criterion: Criterion) -> None:
        """Trains with `criterion` from now on, the output and every local classifier."""
        object.__setattr__(self, "criterion", criterion)  # a criterion that is a module is no part of the learner

    @overload
    def forward(self, x: Tensor) -> Tensor: ...

    @overload
    def forward(self, x: Tensor, y: Tensor) -> Objective: ...

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor | Objective:
        """Logits (N, K) for inputs (N, C, H, W); without gradients the plain model runs. With labels, the objective.

        The latter is for wrappers such as DistributedDataParallel, which act when `forward` is called.
        """
        if y is not None:
            return self.objective(x, y)
        if not torch.is_grad_enabled():
            plain: Tensor = self.model(x)
            return plain
        return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, K) of the program, with its graph for gradients."""
        logits: Tensor = self.program(x)
        return logits

    def objective(self, x: Tensor, y: Tensor) -> Objective:
        """The criterion of the logits for labels `y` (N,), mean over the batch."""
        logits: Tensor = self.program(x)
        loss = self.criterion(logits, y)
        return Objective(loss, loss.detach(), logits.detach())

    def compiled(self, by: Callable[[Compute], Compute]) -> Compute:
        """`objective`, of which `by` compiles what is one graph."""
        return by(self.objective)

    def begin_step(self) -> None:
        """What the feedback layers do before each training step, outside autograd: most do nothing.

        A training loop calls it once before the step's `objective`; `backward` does so itself. `objective` alone
        changes nothing, so that measuring leaves the training as it is.
        """
        for layer in self.feedback_layers.values():
            layer.begin_step(self.steps)
        self.steps += 1

    def backward(self, x: Tensor, y: Tensor) -> Objective:
        """Adds the rule's gradients to `.grad`, as autograd does, and returns the objective."""
        self.begin_step()
        objective = self.objective(x, y)
        torch.autograd.backward(objective.scalar)
        return objective

    def feedback_pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, W, B) of each layer of the model whose error travels through a feedback weight; B has W's shape."""
        for name, layer in self.feedback_layers.items():
            if layer.feedback != "transport":
                yield name, layer.layer.weight, layer.feedback_weight()

    def aligned_pairs(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, W, B) of each layer whose angle between W and B tells how the rule learns; B has W's shape."""
        return self.feedback_pairs()

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What an optimizer is given: the model's trained parameters, then what the rule learns beside it."""
        yield from ((name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad)
        yield from self.learned_beside()

    def learned_beside(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What the rule learns beside the model: here the learned feedback weights that have no recursion."""
        for name, layer in self.feedback_layers.items():
            if layer.learned is not None:
                yield f"feedback.{name}", layer.learned

    def bind(self, optimizer: torch.optim.Optimizer) -> str | None:
        """Holds learned feedback weights as W - s D0 where that is exact under `optimizer`.

        Call it before the first step. The feedback weights then leave the optimizer. Returns None, or why the
        explicit form stays. Raises ValueError for a learner that is bound already, or a copy of one.
        """
        if self.recursion is not None:
            raise ValueError(
                "bind: the feedback weights of this learner follow another optimizer already; for a second optimizer "
                "attach the rule to a model again, or copy the learner before it is bound"
            )
        learned = [layer for layer in self.feedback_layers.values() if layer.learned is not None]
        if not learned:
            return None
        if (reason := why_not_exact(learned, optimizer)) is not None:
            return reason
        weight = learned[0].layer.weight
        recursion = self.recursion = ScalarRecursion(weight.device, dtype=weight.dtype)
        for layer in learned:
            own = group_of(optimizer, layer.learned)
            assert own is not None
            own["params"] = [held for held in own["params"] if held is not layer.learned]
            layer.use_recursion(recursion)

        def advance(stepped: torch.optim.Optimizer, _args: object, _kwargs: object) -> None:
            group = group_of(stepped, weight)  # looked up each time: load_state_dict puts new groups in their places
            assert group is not None
            recursion.advance(group)

        optimizer.register_step_post_hook(advance)
        return None

    def rule_state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the model's state.

        What is learned there, the recursion's scalars, and what feedback layers change before steps.
        """
        state: dict[str, Any] = {name: parameter.detach() for name, parameter in self.learned_beside()}
        if self._acts_before_steps():
            state |= {"steps": torch.tensor(self.steps), **self._changed_before_steps()}
        if self.recursion is not None:
            state |= {f"recursion.{name}": value for name, value in self.recursion.state_dict().items()}
        return state

    @torch.no_grad()
    def load_rule_state(self, state: dict[str, Any]) -> None:
        """Restores what `rule_state` returned. Raises KeyError if an entry is missing."""
        for name, parameter in self.learned_beside():
            parameter.copy_(state[name])
        if self.recursion is not None:
            self.recursion.load({name: state[f"recursion.{name}"] for name in self.recursion.state_dict()})
        for name, tensor in self._changed_before_steps().items():
            tensor.copy_(state[name])
        self.resume(int(state.get("steps", self.steps)))

    def resume(self, steps: int) -> None:
        """Continues behind `steps` training steps."""
        self.steps = steps
        for layer in self.feedback_layers.values():
            layer.resume(steps)

    def buffers_of_rule(self) -> Iterator[tuple[str, Tensor]]:
        """The rule's buffers that do not persist, by the place of each in the learner: what is drawn from the seed.

        `state_dict` has them too, as `rule.NAME`, so that it is complete whatever the seed and the first weights were.
        """
        of_model = set(self.model.modules())
        for path, module in self.named_modules():
            if module not in of_model:
                for name, buffer in module.named_buffers(recurse=False):
                    if name in module._non_persistent_buffers_set:
                        yield f"{path}.{name}", buffer

    def _acts_before_steps(self) -> bool:
        """Whether the number of steps belongs to the state: nothing else depends on it."""
        return any(layer.acts_before_steps for layer in self.feedback_layers.values())

    def _changed_before_steps(self) -> dict[str, Tensor]:
        layers = self.feedback_layers.items()
        return {f"feedback.{name}.{key}": value for name, layer in layers for key, value in layer.state().items()}

    def fixed_feedback(self) -> Iterator[tuple[str, Tensor]]:
        """Every fixed random tensor of the rule: never stored, drawn again from the seed."""
        for name, layer in self.feedback_layers.items():
            if layer.fixed is not None:
                yield name, layer.fixed
            if layer.difference is not None:
                yield f"{name}.difference", layer.difference
        for name, module in self.program.named_modules():
            if isinstance(module, RandomProjection):
                yield f"matching.{name}", module.weight

    def fixed_digest(self) -> str:
        """SHA-256 of the fixed feedback, by which a resumed run knows that it drew the same."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.fixed_feedback(), key=lambda pair: pair[0]):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


_OF_RULE = "rule."
"""What the keys begin with that a learner's state has beside parameters and persistent buffers."""


def _add_state_of_rule(learner: nn.Module, state: dict[str, Any], prefix: str, _metadata: object) -> None:
    assert isinstance(learner, Learner)
    for name, buffer in learner.buffers_of_rule():
        state[f"{prefix}{_OF_RULE}{name}"] = buffer.detach()
    if learner._acts_before_steps():
        state[f"{prefix}{_OF_RULE}steps"] = torch.tensor(learner.steps)


@torch.no_grad()
def _take_state_of_rule(
    learner: nn.Module,
    state: dict[str, Any],
    prefix: str,
    _metadata: object,
    _strict: bool,
    missing: list[str],
    _unexpected: list[str],
    errors: list[str],
) -> None:
    assert isinstance(learner, Learner)
    for name, buffer in learner.buffers_of_rule():
        found = state.pop(key := f"{prefix}{_OF_RULE}{name}", None)
        if found is None:
            missing.append(key)
        elif found.shape != buffer.shape:
            errors.append(f"size mismatch for {key}: {tuple(found.shape)} in the state, {tuple(buffer.shape)} here")
        else:
            buffer.copy_(found)
    if (steps := state.pop(key := f"{prefix}{_OF_RULE}steps", None)) is not None:
        learner.resume(int(steps))
    elif learner._acts_before_steps():
        missing.append(key)
