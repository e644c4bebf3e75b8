"""Whether an error crosses the boundary of a unit of local learning, or of a stretch between projected errors.

No error crosses if the gradients before a boundary are the same whatever the weights behind it are. A criterion whose
error at the logits is constant keeps a projected error the same meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from asapbench.analysis.certificate.subject import SAME, Subject, difference, gradients, largest, noise
from asapbench.certificate import Finding
from asapbench.rules.engine.graph import Dataflow
from asapbench.rules.engine.learner import Learner
from asapbench.rules.engine.program import cut
from asapbench.rules.local import LocalRule

NAME = "boundaries"
_ENTERING = ("projected", "learned_projection", "labels")
"""Errors that enter behind each activation, and travel no further than the one before."""


@dataclass(frozen=True)
class Parts:
    """The number of the stretch that each node of a program belongs to: of the first end that it reaches."""

    numbers: dict[fx.Node, int]

    @classmethod
    def at(cls, ends: Sequence[fx.Node], flow: Dataflow) -> Parts:
        """The stretches that end at `ends`, in forward order; what reaches none is the last."""
        place = {end: number for number, end in enumerate(ends)}
        numbers: dict[fx.Node, int] = {}
        for node in reversed(flow.program.graph.nodes):
            reached = min((numbers[user] for user in node.users), default=len(ends))
            numbers[node] = place.get(node, reached)
        return cls(numbers)

    def of_parameter(self, name: str) -> int:
        """The stretch of the module that has the parameter `name`. Raises KeyError."""
        module = name.rpartition(".")[0]
        for node, number in self.numbers.items():
            if node.op == "call_module" and node.target == module:
                return number
        raise KeyError(name)

    def cut(self, program: fx.GraphModule) -> None:
        """Makes every later stretch read the earlier ones detached."""
        for node in list(self.numbers):
            if node.op in ("call_module", "call_function", "call_method"):
                cut(node, [user for user in node.users if self.numbers.get(user, 0) > self.numbers[node]], program)


def no_error_crosses(subject: Subject) -> Finding:
    """Changes the weights behind each boundary and compares the gradients before it."""
    declares, flow = subject.rule.declares, subject.flow
    if declares.loss == "both":
        return Finding(NAME, "not applicable", "the rule declares local losses without boundaries")
    if declares.loss == "local":
        ends = _ends_of_units(subject)
    elif declares.error_path in _ENTERING:
        ends = flow.taps()
    elif declares.error_path == "input":
        return Finding(NAME, "not applicable", "no error travels backwards from layer to layer")
    else:
        return Finding(NAME, "not applicable", "one loss, whose error travels through all layers")
    parts = Parts.at(ends, flow)
    learner = subject.trained(criterion=fixed_error)
    x, y = subject.batch(10)
    learner.begin_step()
    before = gradients(learner, x, y)
    floor = 1e-6 * largest(before)
    for number in range(len(ends), 0, -1):
        with torch.no_grad():
            for name, parameter in learner.model.named_parameters():
                if parts.of_parameter(name) == number:
                    parameter.add_(noise(parameter, name))
        after = gradients(learner, x, y)
        earlier = [name for name, _ in learner.model.named_parameters() if name in before]
        earlier = [name for name in earlier if parts.of_parameter(name) < number]
        far = {name: difference(after[name], before[name], floor=floor) for name in earlier}
        if crossed := [name for name in earlier if far[name] > SAME]:
            nearest, behind = crossed[-1], _first_layer(parts, number, learner)
            text = f"its gradient changes by {far[nearest]:.1e} with the weights of {behind}"
            advice = f"detach what {behind} and later layers read"
            return Finding(NAME, "fails", text, far[nearest], nearest.rpartition(".")[0], advice)
    return Finding(NAME, "holds", f"{len(ends)} boundaries", 0.0)


def fixed_error(logits: Tensor, y: Tensor) -> Tensor:
    """A criterion whose gradient at the logits depends on nothing but the labels."""
    classes = logits.shape[1]
    wanted = torch.arange(classes, dtype=logits.dtype) - classes * (y.unsqueeze(1) == torch.arange(classes))
    return (logits * wanted).mean()


def _ends_of_units(subject: Subject) -> list[fx.Node]:
    """Where units end, by the rule; of a rule that does not say, the last layer alone is behind a boundary."""
    if isinstance(subject.rule, LocalRule):
        return [unit.end for unit in subject.rule.units(subject.module, subject.flow)]
    return [subject.flow.layers[-1].input]


def _first_layer(parts: Parts, number: int, learner: Learner) -> str:
    return next(
        name.rpartition(".")[0] for name, _ in learner.model.named_parameters() if parts.of_parameter(name) == number
    )
