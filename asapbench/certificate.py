"""What a certificate says: each property of a rule on a model, with its verdict, the layer and the number.

`asapbench.analysis.certificate` measures; this module holds the results and imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Verdict = Literal["holds", "declared", "fails", "not applicable"]
"""`declared`: the rule has a limit that it declares, such as weight transport. It is no fault, and it is printed."""


@dataclass(frozen=True)
class Property:
    """One property that a certificate states. `explanation` is for readers of documents."""

    name: str
    title: str
    explanation: str


_ALL = (
    Property(
        "gradients",
        "gradients are as declared",
        "Every gradient equals the one that plain autograd computes from the declaration: the error passes through "
        "the declared feedback weights, dW is formed from the declared source, and the gradient of B, or of its "
        "learned factor, equals what is declared.",
    ),
    Property(
        "transport",
        "no weight transport",
        "The error path does not depend on the forward weights: W is changed between the forward and the backward "
        "pass, with B and all activations held, and the gradients of earlier layers stay the same; W is changed before "
        "a step, and no B changes, save one that is declared to learn from W's responses to noise: it must depend on "
        "what it was before as well. Learned B are checked before `bind`, which holds them as a difference from W.",
    ),
    Property(
        "boundaries",
        "no error crosses a boundary",
        "Of local losses and of projected errors: a change of the weights behind a unit leaves the gradients of the "
        "unit, and of all before it, the same.",
    ),
    Property(
        "learning",
        "every trained layer learns",
        "Every trained weight gets a finite gradient, which is not zero after some steps; a B that learns from W's "
        "responses to noise changes with them.",
    ),
    Property(
        "fixed",
        "fixed tensors stay fixed",
        "Momentum and weight decay move no fixed tensor; a fixed B is no trained parameter, and a B that learns "
        "changes.",
    ),
    Property(
        "clean",
        "attaching and computing is clean",
        "Attaching changes no parameter, buffer or mode; nothing is drawn from a global random stream; the gradients "
        "are returned and not written; the logits are those of the plain model.",
    ),
    Property(
        "resume",
        "stop and resume repeats the bits",
        "Training that was saved, loaded into a newly attached rule and continued ends with the same bits.",
    ),
    Property(
        "seed",
        "the seed determines the bits",
        "The same seed gives the same bits, and another seed draws other tensors.",
    ),
)

PROPERTIES: Mapping[str, Property] = {each.name: each for each in _ALL}
"""In the order in which a certificate lists them."""


@dataclass(frozen=True)
class Finding:
    """The verdict on one property. `text` says what was found; of a failure, `layer` is where and `advice` the fix.

    `number`: the measured number that decided, where there is one.
    """

    name: str
    verdict: Verdict
    text: str
    number: float | None = None
    layer: str | None = None
    advice: str | None = None

    def __post_init__(self) -> None:
        if self.name not in PROPERTIES:
            raise ValueError(f"there is no property {self.name!r}")
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"there is no verdict {self.verdict!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain data; a number that is not finite is left out, as JSON has none."""
        is_finite = self.number is not None and math.isfinite(self.number)
        return {**asdict(self), "number": self.number if is_finite else None}


@dataclass(frozen=True)
class Certificate:
    """What was found of `rule` on `model`, each with the options that are not at their defaults.

    `unsuited`: why the rule cannot train the model; there are then no findings. The revisions are those of entries of
    the catalog; a module of your own has none.
    """

    rule: str
    model: str
    findings: tuple[Finding, ...] = ()
    unsuited: str | None = None
    rule_revision: int = 1
    model_revision: int | None = None

    @property
    def rule_name(self) -> str:
        """The rule without its options."""
        return self.rule.partition("(")[0]

    @property
    def verdict(self) -> Literal["holds", "fails", "not applicable"]:
        """`fails` if one property does."""
        if self.unsuited is not None:
            return "not applicable"
        return "fails" if self.failures else "holds"

    @property
    def holds(self) -> bool:
        """Whether the rule was checked and no property fails."""
        return self.verdict == "holds"

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that fail."""
        return tuple(found for found in self.findings if found.verdict == "fails")

    def finding(self, name: str) -> Finding:
        """The finding on the property `name`. Raises KeyError."""
        for found in self.findings:
            if found.name == name:
                return found
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the verdict."""
        return {**asdict(self), "findings": [found.to_json() for found in self.findings], "verdict": self.verdict}
