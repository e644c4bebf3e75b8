"""Whether training repeats its bits: stopped and resumed, and from the seed."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor

from asapbench.analysis.certificate.subject import Subject, code_of_rule, optimizer_of, train
from asapbench.certificate import Finding
from asapbench.rules.engine.learner import Learner

_RESUME, _SEED = "resume", "seed"
_BEFORE, _AFTER = range(2), range(2, 4)
"""The steps before the stop, and those after it."""


def resume_repeats_the_bits(subject: Subject) -> Finding:
    """Trains two steps, saves, and continues: in the same learner, and in a new one that loads what was saved."""
    learner, optimizer = _bound(subject)
    train(learner, optimizer, subject, _BEFORE)
    saved = io.BytesIO()
    state = {"model": learner.model.state_dict(), "rule": learner.rule_state(), "optimizer": optimizer.state_dict()}
    with code_of_rule():
        torch.save(state, saved)
    stopped = _all(learner)
    train(learner, optimizer, subject, _AFTER)
    expected = _all(learner)
    saved.seek(0)
    try:
        held: dict[str, Any] = torch.load(saved, weights_only=True)
    except Exception as error:  # noqa: BLE001 - a rule's state may hold anything; torch raises several kinds
        reason = str(error).splitlines()[0]
        text = f"what `rule_state` returns cannot be loaded: {reason}"
        return Finding(_RESUME, "fails", text, None, None, "keep tensors, numbers and texts in it")
    again, its_optimizer = _bound(subject)
    with code_of_rule():
        again.model.load_state_dict(held["model"])
        again.load_rule_state(held["rule"])
        its_optimizer.load_state_dict(held["optimizer"])
    advice = "keep what changes outside the optimizer in `rule_state`, and load it"
    unlike = _first_different(stopped, _all(again))  # no fault yet: a rule may make it again before a step
    train(again, its_optimizer, subject, _AFTER)
    if (name := _first_different(expected, _all(again))) is not None:
        text = "it differs after a stop and a resume" if unlike is None else "it is not restored as it was at the stop"
        return Finding(_RESUME, "fails", text, None, unlike or name, advice)
    return Finding(_RESUME, "holds", f"{len(expected)} tensors equal bit for bit")


def the_seed_determines_the_bits(subject: Subject) -> Finding:
    """Two trainings of one seed, and what another seed draws."""
    first, second = (_all(subject.trained(2)) for _ in range(2))
    if (name := _first_different(first, second)) is not None:
        advice = "draw from asapbench.randomness, by the rule's seed"
        return Finding(_SEED, "fails", "it differs in a second training of the same seed", None, name, advice)
    one, other = (_drawn(subject, learner) for learner in (subject.after(0), subject.attached(seed=subject.seed + 1)))
    for name, tensor in one.items():
        if name in other and torch.equal(tensor, other[name]):
            advice = "pass the rule's seed on to what draws it"
            return Finding(_SEED, "fails", "another seed draws the same", None, name, advice)
    return Finding(_SEED, "holds", f"{len(one)} tensors are drawn" if one else "nothing is drawn")


def _bound(subject: Subject) -> tuple[Learner, torch.optim.Optimizer]:
    """A new learner with its optimizer, its learned feedback held as the optimizer allows."""
    learner = subject.attached()
    optimizer = optimizer_of(learner)
    learner.bind(optimizer)
    return learner, optimizer


def _all(learner: Learner) -> dict[str, Tensor]:
    """Copies of everything that training reads or changes."""
    found = {name: tensor.detach().clone() for name, tensor in learner.model.state_dict().items()}
    found |= {name: parameter.detach().clone() for name, parameter in learner.trained_parameters()}
    found |= {f"B of {name}": feedback.detach().clone() for name, _, feedback in learner.feedback_pairs()}
    return found | {f"fixed {name}": tensor.detach().clone() for name, tensor in learner.fixed_feedback()}


def _drawn(subject: Subject, learner: Learner) -> dict[str, Tensor]:
    """What the rule draws from its seed: without what is constant, or a copy of W. Of signs the sizes alone."""
    weights = [weight.detach() for _, weight in learner.model.named_parameters()]
    pairs = {name: feedback.detach() for name, _, feedback in learner.feedback_pairs()}
    found = {f"B of {name}": b.abs() if subject.path(name) == "signs" else b for name, b in pairs.items()}
    found |= {name: parameter.detach() for name, parameter in learner.learned_beside()}
    found |= {name: tensor.detach() for name, tensor in learner.fixed_feedback()}
    return {
        name: tensor
        for name, tensor in found.items()
        if tensor.numel() > 1
        and float(tensor.min()) != float(tensor.max())
        and not any(tensor.shape == weight.shape and torch.equal(tensor, weight) for weight in weights)
    }


def _first_different(one: dict[str, Tensor], other: dict[str, Tensor]) -> str | None:
    for name, tensor in one.items():
        if name not in other or not torch.equal(tensor, other[name]):
            return name
    return None
