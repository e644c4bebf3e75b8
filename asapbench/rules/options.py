"""Options that several rules have, and what they mean to a rule: the same everywhere."""

from __future__ import annotations

from asapbench.rules.base import Feedback, Stem
from asapbench.suite.options import Choice, Option

LINEAR_FEEDBACK = Option(
    "linear_feedback",
    "uniform",
    "feedback weights of fully connected layers: uniform(-1, 1) as released, scaled as the forward weights, or equal "
    "to them at the start",
    choices=("uniform", "kaiming", "forward"),
)
FEEDBACK_INIT = Option(
    "feedback_init",
    "random",
    "convolutional feedback weights start as an independent draw, or equal to the forward weights",
    choices=("random", "forward"),
)
CLASSIFIER = Option(
    "classifier", "fa", "fully connected layers: fixed feedback (fa) or learned feedback (kp)", choices=("fa", "kp")
)
FORM = Option(
    "form",
    "recursion",
    "learned feedback held as W - s D0 with a scalar s where that is exact, or as an explicit parameter",
    choices=("recursion", "explicit"),
)
K = Option("k", 2, "block size: how many convolutions share one activation", minimum=1)
MATCHING = Option(
    "matching",
    "max",
    "dimension matching of the shared activation: channels repeated then max- or average-pooled, or a random 1x1",
    choices=("max", "average", "random"),
)
STEM = Option("stem", "fixed", "the first convolution stays random, or is trained too", choices=("fixed", "trained"))


def unit(default: str) -> Option:
    """The option `unit` of rules with local losses."""
    return Option(
        "unit",
        default,
        "what a local loss trains: each convolution, or each residual block (stage of AlexNet) and the stem before",
        choices=("conv", "block"),
    )


_LINEAR_PATHS: dict[str, Feedback] = {"bp": "transport", "fa": "fixed", "kp": "learned"}


def linear_path(choice: Choice) -> Feedback:
    """What carries the error through fully connected layers, by the option `classifier`."""
    return _LINEAR_PATHS[choice.text("classifier")]


def stem_of(choice: Choice) -> Stem:
    """Whether the first convolution is trained, by the option `stem`."""
    return "trained" if choice.text("stem") == "trained" else "fixed"


def explicit_feedback(choice: Choice) -> float:
    """`extra_weights` of learned feedback: by the option `form`, as many as the network has, or none."""
    return float(choice.text("form") == "explicit")
