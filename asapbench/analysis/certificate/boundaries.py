"""Whether an error crosses the boundary of a unit of local learning, or of a stretch between projected errors.

No error crosses if the gradients before a boundary are the same whatever the weights behind it are. A criterion whose
error at the logits is constant keeps a projected error the same meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from asapbench.analysis.certificate.subject import SAME, Subject, difference, gradients, largest, noise
from asapbench.certificate import Finding
from asapbench.rules.engine.graph import Dataflow, capture
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

    def of_parameters(self, flow: Dataflow) -> dict[int, set[int]]:
        """The stretches that use each parameter, by its identity: of modules, and of the model outside all modules.

        `flow` is the one of `at`. A parameter that is read outside modules belongs where its value meets the data.
        """
        found: dict[int, set[int]] = {}
        of_data: set[fx.Node] = set()
        for node in flow.program.graph.nodes:
            if node.op == "placeholder" or not of_data.isdisjoint(node.all_input_nodes):
                of_data.add(node)
            if node.op == "call_module":
                for parameter in flow.program.get_submodule(str(node.target)).parameters():
                    found.setdefault(id(parameter), set()).add(self.numbers[node])
        for node in flow.program.graph.find_nodes(op="get_attr"):
            value = _attribute(flow.program, str(node.target))
            found.setdefault(id(value), set()).update(self._meeting(node, of_data))
        return found

    def _meeting(self, node: fx.Node, of_data: set[fx.Node]) -> set[int]:
        """The stretches in which the value of `node`, made of parameters alone, meets what comes from the data."""
        numbers: set[int] = set()
        for user in node.users:
            numbers |= {self.numbers[user]} if user in of_data else self._meeting(user, of_data)
        return numbers

    def cut(self, program: fx.GraphModule) -> None:
        """Makes every later stretch read the earlier ones detached."""
        for node in list(self.numbers):
            if node.op in ("call_module", "call_function", "call_method"):
                cut(node, [user for user in node.users if self.numbers.get(user, 0) > self.numbers[node]], program)


def no_error_crosses(subject: Subject) -> Finding:
    """Changes the weights behind each boundary and compares the gradients before it."""
    declares = subject.rule.declares
    if declares.loss == "both":
        return Finding(NAME, "not applicable", "the rule declares local losses without boundaries")
    if declares.loss == "global" and declares.error_path == "input":
        return Finding(NAME, "not applicable", "no error travels backwards from layer to layer")
    if declares.loss == "global" and declares.error_path not in _ENTERING:
        return Finding(NAME, "not applicable", "one loss, whose error travels through all layers")
    learner = subject.trained(criterion=fixed_error)
    flow = capture(learner.model, torch.zeros(subject.shape))
    ends = flow.taps() if declares.loss == "global" else _ends_of_units(subject, learner, flow)
    used = Parts.at(ends, flow).of_parameters(flow)
    parts = {name: used[id(one)] for name, one in learner.model.named_parameters() if used.get(id(one))}
    x, y = subject.batch(10)
    learner.begin_step()
    before = gradients(learner, x, y)
    floor = 1e-6 * largest(before)
    for number in range(len(ends), 0, -1):
        # Of a parameter of several stretches the first one is behind no later boundary, and the last one tells which
        # errors reach it.
        behind = [name for name, numbers in parts.items() if min(numbers) == number]
        with torch.no_grad():
            for name in behind:
                parameter = learner.model.get_parameter(name)
                parameter.add_(noise(parameter, name))
        after = gradients(learner, x, y)
        earlier = [name for name, numbers in parts.items() if name in before and max(numbers) < number]
        far = {name: difference(after[name], before[name], floor=floor) for name in earlier}
        if crossed := [name for name in earlier if far[name] > SAME]:
            nearest, first = crossed[-1], _place(behind[0])
            text = f"its gradient changes by {far[nearest]:.1e} with the weights of {first}"
            advice = f"detach what {first} and later layers read"
            return Finding(NAME, "fails", text, far[nearest], _place(nearest), advice)
    return Finding(NAME, "holds", f"{len(ends)} boundaries", 0.0)


def fixed_error(logits: Tensor, y: Tensor) -> Tensor:
    """A criterion whose gradient at the logits depends on nothing but the labels."""
    classes = logits.shape[1]
    wanted = torch.arange(classes, dtype=logits.dtype) - classes * (y.unsqueeze(1) == torch.arange(classes))
    return (logits * wanted).mean()


def _ends_of_units(subject: Subject, learner: Learner, flow: Dataflow) -> list[fx.Node]:
    """Where units end, by the rule; of a rule that does not say, the last layer alone is behind a boundary."""
    if isinstance(subject.rule, LocalRule):
        return [unit.end for unit in subject.rule.units(learner.model, flow)]
    return [flow.layers[-1].input]


def _place(parameter: str) -> str:
    """The module of a parameter; one outside modules is a place itself."""
    return parameter.rpartition(".")[0] or parameter


def _attribute(module: nn.Module, target: str) -> object:
    """The parameter or buffer at `target`."""
    path, _, name = target.rpartition(".")
    return getattr(module.get_submodule(path), name)
