"""Whether everything that a rule trains learns, and what it keeps fixed stays."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from asapbench.analysis.certificate.subject import (
    STEPS,
    Subject,
    carriers,
    difference,
    gradients,
    largest,
    optimizer_of,
    train,
)
from asapbench.analysis.certificate.transport import follows, is_mirror, without_response
from asapbench.certificate import Finding
from asapbench.rules.engine.learner import Learner

_LEARNING, _FIXED = "learning", "fixed"
_NOTHING = 1e-13
"""A gradient this much smaller than the largest is rounding."""
_MORE_STEPS = 5
_LEARNED = ("learned", "product")
"""Error paths whose B changes in training."""


def every_layer_learns(subject: Subject) -> Finding:
    """The gradients of all trained weights, at the start and after some steps."""
    floor, smallest = 0.0, ("", 1.0)
    for steps in (0, STEPS):
        learner = subject.after(steps)
        held = carriers(learner)
        found = gradients(learner, *subject.batch(10))
        floor = _NOTHING * largest(found)
        for name, parameter in learner.trained_parameters():
            size = float(found[name].abs().max())
            if not torch.isfinite(found[name]).all():
                text = f"its gradient is not finite {_when(steps)}"
                return Finding(_LEARNING, "fails", text, size, name, "look for a division by zero, or a logarithm")
            is_weight = parameter.dim() > 1 and id(parameter) not in held
            # What starts at zero may pass no error at first: after some steps it must.
            if steps and is_weight and size <= floor:
                text = f"its gradient is zero {_when(steps)}"
                advice = "let an error reach it, or do not train it: requires_grad_(False)"
                return Finding(_LEARNING, "fails", text, size, name, advice)
            if steps and is_weight:
                smallest = min(smallest, (name, size / largest(found)), key=lambda pair: pair[1])
    if any(is_mirror(subject, name) for name in subject.layers) and (silent := without_response(subject)) is not None:
        text = "B does not change with the responses of W: it mirrors nothing, and decays"
        return Finding(_LEARNING, "fails", text, 0.0, silent, "give noise an amplitude and a mirror rate above 0")
    return Finding(_LEARNING, "holds", f"the smallest is {smallest[1]:.0e} of the largest ({smallest[0]})", smallest[1])


def fixed_stays_fixed(subject: Subject) -> Finding:
    """What some steps with momentum and weight decay do to fixed tensors, and to each B."""
    learner = subject.attached()
    before = _State.of(learner)
    trained = {id(parameter) for _, parameter in learner.trained_parameters()}
    optimizer = optimizer_of(learner)
    train(learner, optimizer, subject, range(_MORE_STEPS))
    learner.begin_step()  # what follows W does so before a step, or in the forward pass
    gradients(learner, *subject.batch(_MORE_STEPS))
    after = _State.of(learner)
    fault = _moved(before, after) or _wrong_feedback(subject, learner, trained, before, after) or _wrong_stem(subject)
    if fault is not None:
        return fault
    learned = sum(subject.path(name) in _LEARNED for name in before.pairs)
    text = f"{len(before.fixed) + len(before.untrained)} fixed tensors, {learned} learned B, {_MORE_STEPS} steps"
    return Finding(_FIXED, "holds", text, 0.0)


class _State(NamedTuple):
    """Copies of the fixed tensors, the untrained parameters, and each layer's W and B."""

    fixed: dict[str, Tensor]
    untrained: dict[str, Tensor]
    pairs: dict[str, tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, learner: Learner) -> _State:
        """The state of `learner` now."""
        return cls(
            {name: tensor.detach().clone() for name, tensor in learner.fixed_feedback()},
            {name: p.detach().clone() for name, p in learner.model.named_parameters() if not p.requires_grad},
            {name: (w.detach().clone(), b.detach().clone()) for name, w, b in learner.feedback_pairs()},
        )


def _moved(before: _State, after: _State) -> Finding | None:
    """A fixed tensor that moved. One that moves exactly as W is a matter of weight transport, not of the optimizer."""
    for name, tensor in {**before.fixed, **before.untrained}.items():
        now = {**after.fixed, **after.untrained}.get(name)
        far = float("inf") if now is None else difference(now, tensor)
        if far > 0 and not (name in before.pairs and _follows(name, before, after)):
            advice = "keep it in a buffer that no optimizer gets"
            return Finding(_FIXED, "fails", f"this fixed tensor moved by {far:.1e}", far, name, advice)
    return None


def _wrong_feedback(
    subject: Subject, learner: Learner, trained: set[int], before: _State, after: _State
) -> Finding | None:
    """A fixed B that is trained or moved, or a learned one that is neither trained nor changed."""
    for name, _, feedback in learner.feedback_pairs():
        path, far = subject.path(name), difference(after.pairs[name][1], before.pairs[name][1])
        if path == "fixed" and id(feedback) in trained:
            text = f"B is declared fixed, is a trained parameter, and moved by {far:.1e}"
            return Finding(_FIXED, "fails", text, far, name, "make it a buffer: weight decay moves every parameter")
        if path == "fixed" and far > 0 and not _follows(name, before, after):
            advice = "keep it in a buffer that no optimizer gets"
            return Finding(_FIXED, "fails", f"B is declared fixed and moved by {far:.1e}", far, name, advice)
        if path in _LEARNED and far == 0 and _learns(subject, name):
            advice = "yield it from learned_beside, or change it in begin_step"
            return Finding(_FIXED, "fails", "B is declared to learn and does not change", far, name, advice)
    return None


def _wrong_stem(subject: Subject) -> Finding | None:
    """A first convolution, or another layer, that is trained or not as the rule does not declare."""
    learner = subject.after(0)
    stem = subject.flow.main[0].name if subject.flow.main else None
    for name in subject.layers:
        weight = subject.weight_of(learner, name)
        should = name != stem or subject.rule.declares.stem == "trained"
        was = subject.layers[name].module.weight.requires_grad
        if was and weight.requires_grad != should:
            text = f"W is {'trained' if weight.requires_grad else 'not trained'}, which the rule does not declare"
            return Finding(_FIXED, "fails", text, None, name, "let `declares.stem` and the layer's plan agree")
    return None


def _learns(subject: Subject, name: str) -> bool:
    """Whether the layer is trained: the B of an untrained stem stays as W does."""
    return subject.rule.declares.stem == "trained" or not subject.flow.main or subject.flow.main[0].name != name


def _follows(name: str, before: _State, after: _State) -> bool:
    (old_w, old_b), (new_w, new_b) = before.pairs[name], after.pairs[name]
    return torch.equal(new_b, new_w) or follows(new_b - old_b, new_w - old_w)


def _when(steps: int) -> str:
    return f"after {steps} steps" if steps else "at the start"
