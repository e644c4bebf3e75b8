"""Whether attaching a rule and computing with it changes nothing but what the rule declares."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from asapbench.analysis.certificate.subject import SAME, Subject, code_of_rule, difference, known_streams, streams
from asapbench.certificate import Finding
from asapbench.rules.engine.graph import capture
from asapbench.rules.engine.learner import Learner

NAME = "clean"


def attaching_and_computing_is_clean(subject: Subject) -> Finding:
    """Parameters, buffers, modes, random streams, `.grad` and logits."""
    model = copy.deepcopy(subject.module).train()
    plain = copy.deepcopy(model)
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    with known_streams(0):
        state = streams()
        learner = subject.rule.learner(model, capture(model, torch.zeros(subject.shape)), subject.seed)
        drawn = _drawn(state, "attaching")
    if drawn is not None:
        return drawn
    for name, tensor in model.state_dict().items():
        if name not in before or not torch.equal(tensor, before[name]):
            return _fault(name, "attaching changes it", "change nothing of the model but `requires_grad`")
    if modes != [module.training for module in model.modules()]:
        return _fault(None, "attaching changes a module's mode", "call train() and eval() on modules of your own only")
    return _of_a_step(subject, learner.train(), plain) or _of_logits(subject, learner, plain) or _holds()


def _of_a_step(subject: Subject, learner: Learner, plain: nn.Module) -> Finding | None:
    """Random streams and `.grad` in one step. A module's own dropout draws as it does without the rule."""
    x, y = subject.batch()
    with known_streams(0):
        plain(x)
        state = streams()
    with known_streams(0):
        learner.begin_step()
        scalar = learner.objective(x, y).scalar
        if (drawn := _drawn(state, "a step")) is not None:
            return drawn
        parameters = dict(learner.trained_parameters())
        with code_of_rule():
            torch.autograd.grad(scalar, list(parameters.values()), allow_unused=True)
        if (drawn := _drawn(state, "a backward pass")) is not None:
            return drawn
    written = {**dict(learner.named_parameters()), **parameters}
    for name, parameter in written.items():
        if parameter.grad is not None:
            advice = "return the gradient from the autograd function's backward"
            return _fault(name.removeprefix("model."), "its `.grad` is written inside the backward pass", advice)
    return None


def _of_logits(subject: Subject, learner: Learner, plain: nn.Module) -> Finding | None:
    """The logits of training and evaluation against those of the plain model."""
    x, y = subject.batch()
    for training in (True, False):
        for module in (learner.train(training).model, plain.train(training)):
            with code_of_rule():
                module.load_state_dict(subject.module.state_dict())  # the running statistics
        expected = _logits(plain, x)
        computed = {"forward": _logits(learner, x)}
        if training:
            with known_streams(0):
                computed["objective"] = learner.objective(x, y).logits
        for what, logits in computed.items():
            if (far := difference(logits.detach(), expected)) > SAME:
                text = f"the logits of `{what}` differ from the plain model's by {far:.1e}"
                return Finding(NAME, "fails", text, far, None, "let the forward pass of the program be the model's")
    return None


def _logits(module: nn.Module, x: Tensor) -> Tensor:
    with known_streams(0):
        logits: Tensor = module(x)
    return logits.detach()


def _drawn(before: tuple[bytes, str, str], what: str) -> Finding | None:
    for library, old, new in zip(("torch", "NumPy", "Python"), before, streams(), strict=True):
        if old != new:
            advice = "draw from asapbench.randomness, by the rule's seed"
            return _fault(None, f"{what} draws from {library}'s global random stream", advice)
    return None


def _fault(layer: str | None, text: str, advice: str) -> Finding:
    return Finding(NAME, "fails", text, None, layer, advice)


def _holds() -> Finding:
    return Finding(NAME, "holds", "parameters, buffers, modes, random streams, `.grad`, logits")
