"""Learning rules: one file a rule, free of torch. `attach` puts a rule onto any plain module.

`engine` carries rules out in torch; it is imported when a rule is attached.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from asapbench.errors import SuiteError
from asapbench.rules.base import Declares, Rule
from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from torch import Tensor, nn

    from asapbench.rules.engine.criterion import Criterion, CrossEntropy
    from asapbench.rules.engine.learner import Learner, Objective


def attach(
    model: nn.Module, rule: str | Choice | Rule, sample: Tensor, seed: int = 0, *, criterion: Criterion | None = None
) -> Learner:
    """`model` with `rule` attached.

    `sample`: a batch (N, C, H, W) whose shape is that of the data; its values are not used. One forward pass of N
    blank examples is computed: two are enough. `seed` draws feedback weights. `criterion` is the loss of logits (N, K)
    for labels (N,), at the output and at every local classifier; None: cross-entropy. Layers that the rule does not
    train stop requiring gradients. Raises GraphError, naming the layer, where the rule cannot be attached, SuiteError
    for an unknown rule, and TypeError for a criterion that returns no scalar.

    >>> import torch
    >>> from torch import nn
    >>> images, labels = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    >>> learner = attach(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "fa", sample=images)
    >>> learner.backward(images, labels).logits.shape  # and the rule's gradients are added to .grad
    torch.Size([2, 10])
    """
    from asapbench.rules.engine.criterion import require_scalar
    from asapbench.rules.engine.graph import capture

    flow = capture(model, sample)
    if criterion is not None:
        require_scalar(criterion, classes=flow.classes, like=sample)
    learner = resolve(rule).learner(model, flow, seed)
    if criterion is not None:
        learner.use_criterion(criterion)
    return learner


def resolve(rule: str | Choice | Rule) -> Rule:
    """The rule of a name, at its default options, or of a choice. Raises SuiteError."""
    from asapbench.suite import plugins
    from asapbench.suite.catalog import RULES, rule_class

    if isinstance(rule, Rule):
        return rule
    plugins.load_installed()
    name = rule if isinstance(rule, str) else rule.name
    if name not in RULES:
        raise SuiteError(plugins.unknown("rule", name))
    found: Rule = rule_class(name)(RULES[name].choose() if isinstance(rule, str) else rule)
    return found


_HOMES = {"CrossEntropy": "criterion", "Learner": "learner", "Objective": "learner"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"asapbench.rules.engine.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["CrossEntropy", "Declares", "Learner", "Objective", "Rule", "attach", "resolve"]
