"""Whether a rule's gradients are those of its declaration, as far as the declaration determines them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asapbench.analysis.certificate.boundaries import Parts
from asapbench.analysis.certificate.reference import Reference, fitted, weight_gradient
from asapbench.analysis.certificate.subject import (
    SAME,
    STEPS,
    Subject,
    difference,
    differentiated,
    gradients,
    known_streams,
    largest,
    noise,
)
from asapbench.certificate import Finding
from asapbench.rules.engine.criterion import Criterion, error_at_logits, one_hot
from asapbench.rules.engine.graph import Dataflow, WeightLayer, capture
from asapbench.rules.engine.learner import Learner
from asapbench.rules.engine.local import LocalLearner
from asapbench.rules.engine.units import separate
from asapbench.rules.local import LocalRule

NAME = "gradients"
_BY_B = ("fixed", "learned", "signs", "product")
"""Error paths through a feedback weight of the layer itself."""
_BY_PROJECTION = ("projected", "learned_projection", "labels")
_DIRECTIONS = 3
"""Random steps along which a factor's gradient is compared: a wrong one agrees with none of them."""
_UNDETERMINED = {"input": "the errors come from a second forward pass, which is the rule's own"}

Signal = Callable[[Criterion, Tensor, Tensor], Tensor]
_SIGNALS: Mapping[str, Mapping[str, Signal]] = {
    "errors": {
        "the projected errors": error_at_logits,
        "the projected signs of errors": lambda criterion, logits, y: (
            error_at_logits(criterion, logits, y).sign() / len(y)
        ),
    },
    "labels": {
        "the projected labels, over the batch size": lambda _, logits, y: one_hot(y, logits.shape[1]).double() / len(y),
        "the projected labels": lambda _, logits, y: one_hot(y, logits.shape[1]).double(),
    },
}
"""What a projection may lead to the layers, (N, classes) from the criterion, logits and labels: one of these must."""


@dataclass(frozen=True)
class _Expected:
    """The declared gradients by parameter, and each weight layer's module, source, error and earlier inputs."""

    gradients: dict[str, Tensor]
    inputs: dict[str, Tensor]
    errors: dict[str, Tensor]
    layers: tuple[WeightLayer, ...]
    what: str


def gradients_as_declared(subject: Subject, *, crossing: bool) -> Finding:
    """Compares the gradients after some steps with those of `reference`. `crossing`: an error crosses a boundary."""
    declares = subject.rule.declares
    if declares.error_path in _UNDETERMINED:
        return _not_judged(_UNDETERMINED[declares.error_path])
    if crossing:
        return _not_judged("an error crosses a boundary, which is judged by itself")
    learner = subject.after(STEPS)
    x, y = subject.batch(10)
    found = gradients(learner, x, y)
    pairs = {name: (weight, feedback) for name, weight, feedback in learner.feedback_pairs()}
    feedback = {name: b for name, (_, b) in pairs.items()}
    nearest: tuple[float, Finding] | None = None
    for expected in _expected(subject, learner, x, y, feedback):
        fault = _undeclared_path(subject, expected.layers, pairs)
        far = _differences(subject, learner, found, expected)
        fault = fault or _differing(far) or next(_wrong_sources(subject, learner, found, expected), None)
        worst = max(far.values(), default=0.0)
        if fault is None:
            return Finding(NAME, "holds", f"{expected.what}, within {max(worst, 1e-16):.0e}", worst)
        nearest = min(nearest or (worst, fault), (worst, fault), key=lambda pair: pair[0])
    return _not_judged("where the errors enter is the rule's own") if nearest is None else nearest[1]


def _expected(
    subject: Subject, learner: Learner, x: Tensor, y: Tensor, feedback: Mapping[str, Tensor]
) -> Iterator[_Expected]:
    """The gradients that the declaration allows `learner`; none where it does not determine them."""
    declares, flow = subject.rule.declares, capture(learner.model, torch.zeros(subject.shape))
    if declares.loss != "global":
        if isinstance(learner, LocalLearner) and isinstance(subject.rule, LocalRule):
            yield _of_local_losses(subject.rule, learner, flow, x, y, feedback)
    elif declares.error_path in _BY_PROJECTION:
        projections = _projections(learner, flow)
        signals = _SIGNALS["labels" if declares.error_path == "labels" else "errors"] if projections else {}
        parts = Parts.at(flow.taps(), flow)
        parts.cut(flow.program)
        for what, signal in signals.items():
            yield _of_projections(learner, flow, x, y, projections, signal, what)
    else:
        run = Reference(flow.program, feedback, watch=frozenset())
        with known_streams(0):
            scalar = learner.criterion(run.run(x), y)
        if declares.update == "approximate":
            what = "errors as declared (the approximate source of dW is the rule's own)"
        elif feedback:
            what = f"equal to plain autograd with {len(feedback)} feedback weights"
        else:
            what = "equal to backpropagation" if declares.update == "own" else "equal to the declared sources"
        yield _from(run, scalar, learner, flow, what)


def _of_local_losses(
    rule: LocalRule, learner: LocalLearner, flow: Dataflow, x: Tensor, y: Tensor, feedback: Mapping[str, Tensor]
) -> _Expected:
    """Each head's loss of its unit's output, units detached where the rule declares so."""
    units = rule.units(learner.model, flow)
    flow = separate(units, flow) if rule.declares.loss == "local" else flow
    ends = [unit.end.name for unit in units]
    run = Reference(flow.program, feedback, watch=frozenset(ends))
    with known_streams(0):
        scalar = learner.output_share * learner.criterion(run.run(x), y)
        for end, head in zip(ends, learner.heads, strict=True):
            scalar = scalar + head(run.watched[end], y)
    return _from(run, scalar, learner, flow, "equal to plain autograd of the local losses")


def _projections(learner: Learner, flow: Dataflow) -> dict[str, Tensor]:
    """B (classes, units) of every tap, fixed or learned; none where they are not named after the taps."""
    named = dict(learner.fixed_feedback())
    named |= {name.removeprefix("feedback."): parameter for name, parameter in learner.learned_beside()}
    taps = [tap.name for tap in flow.taps()]
    return {name: named[name].flatten(1) for name in taps} if taps and set(taps) <= set(named) else {}


def _of_projections(
    learner: Learner,
    flow: Dataflow,
    x: Tensor,
    y: Tensor,
    projections: Mapping[str, Tensor],
    signal: Signal,
    what: str,
) -> _Expected:
    """The loss for what is behind the last tap; at each tap `signal` times B, and for a learned B signal^T h."""
    run = Reference(flow.program, {}, watch=frozenset(projections))
    with known_streams(0):
        logits = run.run(x)
        scalar = learner.criterion(logits, y)
        entering = signal(learner.criterion, logits.detach(), y)
    for name, projection in projections.items():
        tap = run.watched[name].flatten(1)
        scalar = scalar + (tap * (entering @ projection.detach())).sum()
        scalar = scalar + ((entering.T @ tap.detach()) * projection).sum()
    return _from(run, scalar, learner, flow, f"equal to plain autograd with {what}")


def _from(run: Reference, scalar: Tensor, learner: Learner, flow: Dataflow, what: str) -> _Expected:
    """The gradients of `scalar`, which `run` computed."""
    parameters = dict(learner.trained_parameters())
    outputs = {f"output of {name}": output for name, output in run.outputs.items() if output.requires_grad}
    both = differentiated(scalar, {**parameters, **outputs})
    errors = {name: both[f"output of {name}"] for name in run.outputs if f"output of {name}" in both}
    return _Expected({name: both[name] for name in parameters}, run.inputs, errors, flow.layers, what)


def _undeclared_path(
    subject: Subject, layers: tuple[WeightLayer, ...], pairs: Mapping[str, tuple[Tensor, Tensor]]
) -> Finding | None:
    """A layer that carries its error by another way than the declared one."""
    for layer in layers:
        path, has_b = subject.path(layer.name), layer.name in pairs
        if layer.carries_error and path in _BY_B and not has_b:
            advice = f"plan a feedback weight for it, or declare another path than {path}"
            return Finding(NAME, "fails", f"no feedback weight, and {path} is declared", None, layer.name, advice)
        if has_b and path not in _BY_B:
            advice = f"declare {', '.join(_BY_B[:-1])} or {_BY_B[-1]}"
            return Finding(NAME, "fails", f"a feedback weight, and {path} is declared", None, layer.name, advice)
        if has_b and pairs[layer.name][0].shape != pairs[layer.name][1].shape:
            return Finding(NAME, "fails", "B has not W's shape", None, layer.name, "draw B in the shape of W")
    return None


def _differences(
    subject: Subject, learner: Learner, found: Mapping[str, Tensor], expected: _Expected
) -> dict[str, float]:
    """How far each gradient is from the declared one: without a layer's dB, and a dW whose source is not the input."""
    weights = {id(layer.module.weight) for layer in expected.layers}
    held = {id(feedback) for _, _, feedback in learner.feedback_pairs()}
    held |= {id(factor) for layer in learner.feedback_layers.values() for factor in layer.parameters(recurse=False)}
    floor = SAME * largest(expected.gradients)
    return {
        name: difference(found[name], expected.gradients[name], floor=floor)
        for name, parameter in learner.trained_parameters()
        if id(parameter) not in held and (subject.rule.declares.update == "own" or id(parameter) not in weights)
    }


def _differing(far: Mapping[str, float]) -> Finding | None:
    """The last parameter, seen from the input, whose gradient is not the declared one: errors come from behind."""
    for name in reversed(list(far)):
        if far[name] > SAME:
            text, advice = f"differs from the declared gradient by {far[name]:.1e}", "compare it with the declaration"
            return Finding(NAME, "fails", text, far[name], name, advice)
    return None


def _wrong_sources(
    subject: Subject, learner: Learner, found: Mapping[str, Tensor], expected: _Expected
) -> Iterator[Finding]:
    """Faults in dW of a shared source, in dB of learned feedback weights, and in gradients of a product's factors."""
    declares = subject.rule.declares
    names = {id(parameter): name for name, parameter in learner.trained_parameters()}
    feedback = {name: names.get(id(tensor)) for name, _, tensor in learner.feedback_pairs()}
    of_b = declares.feedback_update or declares.update
    for layer in reversed(expected.layers):
        weight = found.get(names.get(id(layer.module.weight), ""))
        if declares.update == "shared" and weight is not None and layer.is_convolution:
            yield from _source_not_found(layer, weight, learner, expected, "dW")
        if subject.path(layer.name) == "product" and weight is not None and layer.name in feedback:
            yield from _wrong_factors(layer, weight, learner, found)
        back = feedback.get(layer.name)
        if back is None or weight is None or subject.path(layer.name) != "learned":
            continue
        if of_b == "shared" and declares.update != "shared" and layer.is_convolution:
            yield from _source_not_found(layer, found[back], learner, expected, "dB")
        elif (far := difference(found[back], weight)) > SAME:
            text = f"dB differs from dW by {far:.1e}"
            yield Finding(NAME, "fails", text, far, layer.name, "return W's gradient for B as it is, not transposed")


def _wrong_factors(
    layer: WeightLayer, gradient: Tensor, learner: Learner, found: Mapping[str, Tensor]
) -> Iterator[Finding]:
    """A fault if a learned factor of B has another gradient than that of <B, dW>, dW being `gradient`.

    B is linear in each factor: a step along V changes <B, dW> by the product of V with the factor's gradient.
    """
    names = {id(parameter): name for name, parameter in learner.trained_parameters()}
    feedback = learner.feedback_layers[layer.name]
    learned = [factor for factor in feedback.parameters(recurse=False) if id(factor) in names]
    if not learned:
        text = "no factor of B is a trained parameter, and a product with a learned one is declared"
        yield Finding(NAME, "fails", text, None, layer.name, "yield the learned factor from learned_beside")
    for factor in learned:
        name = names[id(factor)]
        for number in range(_DIRECTIONS):
            step = noise(factor, f"{name} {number}")
            with torch.no_grad():
                kept, before = factor.clone(), feedback.feedback_weight().clone()
                factor.add_(step)
                change = (feedback.feedback_weight() - before) * gradient
                factor.copy_(kept)
            along = found[name] * step
            far = difference(along.sum(), change.sum(), floor=float(change.norm()))
            if far > SAME:
                text = f"the gradient of {name} is not what dW gives through the product: {far:.1e} off"
                yield Finding(NAME, "fails", text, far, layer.name, "let autograd lead dW to the learned factor")
                break


def _source_not_found(
    layer: WeightLayer, gradient: Tensor, learner: Learner, expected: _Expected, what: str
) -> Iterator[Finding]:
    """A fault if `gradient` is the correlation of the layer's error with no input of the layer or an earlier one."""
    error, own = expected.errors[layer.name], expected.inputs[layer.name]
    best = difference(weight_gradient(layer.module, own, error), gradient)
    for earlier in expected.layers:
        if best <= SAME:
            return
        if earlier.name == layer.name:
            break
        for source in _sources(expected.inputs[earlier.name], own.shape, layer, learner):
            best = min(best, difference(weight_gradient(layer.module, source, error), gradient))
    if best > SAME:
        text = f"{what} comes from no input of an earlier layer (the nearest differs by {best:.1e})"
        advice = "form it from an earlier layer's input and the layer's own error"
        yield Finding(NAME, "fails", text, best, layer.name, advice)


def _sources(shared: Tensor, wanted: torch.Size, layer: WeightLayer, learner: Learner) -> Iterator[Tensor]:
    """An earlier input, matched in each of the known ways."""
    yield from fitted(shared, wanted)
    for name, kernel in learner.fixed_feedback():
        is_matching = name.startswith("matching.") and kernel.dim() == 4 and shared.dim() == 4
        if is_matching and kernel.shape[1] == shared.shape[1] and shared.shape[2] >= wanted[2]:
            stride = -(-shared.shape[2] // wanted[2])
            projected = nn.functional.conv2d(shared, kernel, stride=stride)
            if projected.shape == wanted:
                yield projected


def _not_judged(why: str) -> Finding:
    return Finding(NAME, "not applicable", why)
