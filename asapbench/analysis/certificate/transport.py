"""Whether the error path uses the forward weights: weight transport, or their signs alone.

Two tests. Between the forward and the backward pass W's values are changed, with B, all activations and the output's
error held: a gradient that changes came through W. And after a change of W before a step, every B must be what it
would have been: one that is a copy of W, or rebuilt from it, is not. The learned B of the second test are parameters,
not bound to an optimizer: bound, B = W - s D0 changes with such a W by construction, and is the same in training.

A B that is declared to learn from responses to noise changes with W. It must depend on what it was before as well:
then it is no function of W alone, as a copy of W with or without noise is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from asapbench.analysis.certificate.subject import (
    SAME,
    STEPS,
    Subject,
    carriers,
    difference,
    gradients,
    largest,
    noise,
)
from asapbench.certificate import Finding
from asapbench.rules.engine.layers import FeedbackLayer
from asapbench.rules.engine.learner import Learner

NAME = "transport"
_FIX = "draw B once from the rule's seed, into memory of its own, and never write W to it"


class _Fault(NamedTuple):
    layer: str
    text: str
    number: float


def no_weight_transport(subject: Subject) -> Finding:
    """Both tests, at the start and after some steps."""
    used: dict[str, float] = {}
    for steps in (0, STEPS):
        found = _used_in_backward(subject, subject.after(steps))
        used |= {name: far for name, far in found.items() if far > used.get(name, 0.0)}
    for layer, far in used.items():
        if not _may_use(subject, layer):
            text = f"W changed before the backward pass changes earlier gradients by {far:.1e}"
            return Finding(NAME, "fails", text, far, layer, _FIX)
    if (fault := _follows(subject)) is not None:
        return Finding(NAME, "fails", fault.text, fault.number, fault.layer, _FIX)
    if used:
        text = f"uses weight transport, as declared: {_listed(list(used))}"
        return Finding(NAME, "declared", text, max(used.values()))
    if signs := _uses_signs(subject):
        return Finding(NAME, "declared", f"uses W's signs, as declared (partial transport): {_listed(signs)}")
    if mirrors := [name for name in subject.after(0).feedback_layers if is_mirror(subject, name)]:
        return Finding(NAME, "declared", f"B follows W by its responses to noise, as declared: {_listed(mirrors)}")
    return Finding(NAME, "holds", "a change of W changes no earlier gradient and no B", 0.0)


def _may_use(subject: Subject, layer: str) -> bool:
    """Whether the rule declares transport for a layer; for a local head, whether it does for any."""
    if layer in subject.layers:
        return subject.path(layer) == "transport"
    return "transport" in (subject.rule.declares.error_path, subject.rule.declares.linear)


def _used_in_backward(subject: Subject, learner: Learner) -> dict[str, float]:
    """By how much other gradients change if a layer's W has other values in the backward pass; those that do."""
    x, y = subject.batch(10)
    weights = {name: (subject.weight_of(learner, name), subject.path(name)) for name in subject.layers}
    held = carriers(learner)
    heads = {name: (one, "") for name, one in learner.learned_beside() if one.dim() > 1 and id(one) not in held}
    everything: dict[str, tuple[Tensor, str]] = {**weights, **heads}
    of_model = {name for name, _ in learner.model.named_parameters()}
    expected = {name: gradient for name, gradient in gradients(learner, x, y).items() if name in of_model}
    floor = 1e-6 * largest(expected)

    def changed_by(names: Mapping[str, tuple[Tensor, str]]) -> float:
        after = _with_other_weights(learner, x, y, names)
        return max((difference(after[name], one, floor=floor) for name, one in expected.items()), default=0.0)

    if changed_by(everything) <= SAME:
        return {}
    found = {name: changed_by({name: everything[name]}) for name in everything}
    return {name: far for name, far in found.items() if far > SAME}


def _with_other_weights(
    learner: Learner, x: Tensor, y: Tensor, names: Mapping[str, tuple[Tensor, str]]
) -> dict[str, Tensor]:
    """The gradients with other values of these weights in the backward pass alone."""
    before = {name: weight.detach().clone() for name, (weight, _) in names.items()}

    def change() -> None:
        for name, (weight, path) in names.items():
            # `.data` leaves the version counter: autograd would refuse what we want, another W than in forward.
            weight.data.mul_(noise(weight, name).exp()) if path == "signs" else weight.data.add_(noise(weight, name))

    try:
        return gradients(learner, x, y, between=change)
    finally:
        for name, (weight, _) in names.items():
            weight.data.copy_(before[name])


def _follows(subject: Subject) -> _Fault | None:
    """A B, or another fixed tensor, that a change of W before a step changes as its declaration does not allow."""
    plain = _after_change(subject, lambda weight, name: weight)
    moved = _after_change(subject, lambda weight, name: weight + noise(weight, name))
    scaled = plain
    if any(subject.path(name) == "signs" for name in plain.pairs):
        scaled = _after_change(subject, lambda weight, name: weight * noise(weight, name).exp())
    for name, feedback in plain.pairs.items():
        if is_mirror(subject, name):
            continue
        if subject.path(name) == "signs":
            if (far := difference(scaled.pairs[name], feedback)) > 0:
                return _Fault(name, f"B changes by {far:.1e} with the sizes of W; signs are declared", far)
        elif (far := difference(moved.pairs[name], feedback)) > 0:
            return _Fault(name, f"B changes by {far:.1e} with W: it is tied to W", far)
    if mirrors := [name for name in plain.pairs if is_mirror(subject, name)]:
        others = _after_change(subject, lambda weight, name: weight, other_b=mirrors)
        for name in mirrors:
            if difference(others.pairs[name], plain.pairs[name]) == 0:
                return _Fault(name, "B does not depend on what it was before the step: it is made from W", 1.0)
    for name, tensor in plain.beside.items():
        of_pair = any(f"{name.removeprefix('feedback.')}.".startswith(f"{pair}.") for pair in plain.pairs)
        if not of_pair and (far := difference(moved.beside[name], tensor)) > 0:
            return _Fault(name, f"this tensor of the rule changes by {far:.1e} with W", far)
    return None


def is_mirror(subject: Subject, layer: str) -> bool:
    """Whether the layer's B is declared to learn from its W's responses to noise."""
    return subject.rule.declares.feedback_update == "noise" and subject.path(layer) == "learned"


def without_response(subject: Subject) -> str | None:
    """A layer whose B is declared to learn from responses of W, and does not change with W."""
    plain = _after_change(subject, lambda weight, name: weight)
    moved = _after_change(subject, lambda weight, name: weight + noise(weight, name))
    silent = (name for name, b in plain.pairs.items() if is_mirror(subject, name) and torch.equal(b, moved.pairs[name]))
    return next(silent, None)


def _uses_signs(subject: Subject) -> list[str]:
    """The layers whose B changes with the signs of W."""
    if "signs" not in (subject.rule.declares.error_path, subject.rule.declares.linear):
        return []
    plain = _after_change(subject, lambda weight, name: weight)
    flipped = _after_change(subject, lambda weight, name: weight * noise(weight, name).sign())
    return [name for name, feedback in plain.pairs.items() if not torch.equal(feedback, flipped.pairs[name])]


class _State(NamedTuple):
    pairs: dict[str, Tensor]
    beside: dict[str, Tensor]


def _after_change(subject: Subject, change: Callable[[Tensor, str], Tensor], *, other_b: Iterable[str] = ()) -> _State:
    """Each B, and what else the rule keeps fixed or learns, after some steps, a change of every W, and a forward pass.

    Of the layers `other_b` B and what it is made of have other values before that.
    """
    learner = subject.trained()
    pairs = {name: feedback for name, _, feedback in learner.feedback_pairs()}
    with torch.no_grad():
        weights = _weights(subject, learner)
        for name, weight in weights.items():
            weight.copy_(change(weight, name))
        for name in other_b:
            layer = learner.feedback_layers[name]
            held = (pairs[name], *layer.state().values(), *layer.parameters(recurse=False))
            for tensor in {id(each): each for each in held}.values():
                tensor.add_(noise(tensor, f"B of {name}"))
    learner.begin_step()
    gradients(learner, *subject.batch(10))
    changed = {id(weight) for weight in weights.values()}
    of_rule = (*learner.fixed_feedback(), *learner.learned_beside())
    beside = {name: tensor for name, tensor in of_rule if id(tensor) not in changed}
    return _State(
        {name: feedback.detach().clone() for name, _, feedback in learner.feedback_pairs()},
        {name: tensor.detach().clone() for name, tensor in beside.items()},
    )


def _weights(subject: Subject, learner: Learner) -> dict[str, Tensor]:
    """Each W that a B may follow: of the model, and of the rule's own layers, as in heads."""
    of_model = {name: subject.weight_of(learner, name) for name in subject.layers}
    known = {id(weight) for weight in of_model.values()}
    own = {name: one.layer.weight for name, one in learner.named_modules() if isinstance(one, FeedbackLayer)}
    return {**of_model, **{name: weight for name, weight in own.items() if id(weight) not in known}}


def follows(moved_b: Tensor, moved_w: Tensor) -> bool:
    """Whether B moved as W did, times a number that is not zero."""
    length = float((moved_w * moved_w).sum())
    if length == 0:
        return False
    factor = float((moved_b * moved_w).sum()) / length
    return abs(factor) > 1e-6 and difference(moved_b, factor * moved_w) < 1e-6


def _listed(layers: list[str]) -> str:
    return ", ".join(layers) if len(layers) <= 2 else f"{len(layers)} layers, {layers[0]} to {layers[-1]}"
