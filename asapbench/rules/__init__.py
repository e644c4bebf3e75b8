"""Learning rules: one file a rule, and what they share. `attach` puts one onto any plain module."""

from __future__ import annotations

from torch import Tensor, nn

from asapbench.errors import SuiteError
from asapbench.rules.activation_sharing import ActivationSharing
from asapbench.rules.asap import ASAP
from asapbench.rules.asfp import ASFP
from asapbench.rules.asfp_lc import ASFPLocal
from asapbench.rules.base import Declares, Rule
from asapbench.rules.bp import BP
from asapbench.rules.criterion import Criterion, CrossEntropy, cross_entropy
from asapbench.rules.dfa import DFA
from asapbench.rules.dgl import DGL
from asapbench.rules.fa import FA
from asapbench.rules.forward_alignment import ForwardAlignment
from asapbench.rules.graph import capture
from asapbench.rules.kp import KP
from asapbench.rules.learner import Learner, Objective
from asapbench.rules.local_errors import LocalErrors
from asapbench.rules.predsim import PredSim
from asapbench.suite.catalog import RULES as _CATALOG
from asapbench.suite.options import Choice, nearest

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        BP,
        KP,
        FA,
        DFA,
        ASAP,
        ActivationSharing,
        ForwardAlignment,
        ASFP,
        ASFPLocal,
        LocalErrors,
        PredSim,
        DGL,
    )
}


def attach(
    model: nn.Module,
    rule: str | Choice | Rule,
    sample: Tensor,
    seed: int = 0,
    *,
    criterion: Criterion = cross_entropy,
) -> Learner:
    """`model` with `rule` attached.

    `sample`: a batch (N, C, H, W) whose shape is that of the data; its values are not used. One forward pass of so many
    blank examples is computed: two are enough. `seed` draws feedback weights. `criterion` is the loss of logits (N, K)
    for labels (N,), at the output and at every local classifier. Layers that the rule does not train stop
    requiring gradients. Raises GraphError, naming the layer, where the rule cannot be attached, and SuiteError for an
    unknown rule.

    >>> import torch
    >>> images, labels = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    >>> learner = attach(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "fa", sample=images)
    >>> learner.backward(images, labels).logits.shape  # and the rule's gradients are added to .grad
    torch.Size([2, 10])
    """
    learner = resolve(rule).learner(model, capture(model, sample), seed)
    learner.use_criterion(criterion)
    return learner


def resolve(rule: str | Choice | Rule) -> Rule:
    """The rule of a name, at its default options, or of a choice. Raises SuiteError."""
    if isinstance(rule, Rule):
        return rule
    name = rule if isinstance(rule, str) else rule.name
    if name not in RULES:
        raise SuiteError(f'unknown rule "{name}"{nearest(name, RULES)}')
    return RULES[name](_CATALOG[name].choose() if isinstance(rule, str) else rule)


__all__ = ["RULES", "CrossEntropy", "Declares", "Learner", "Objective", "Rule", "attach", "resolve"]
