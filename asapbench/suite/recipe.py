"""What a cell holds beside its choices: each field's default and what it may be, wherever the value comes from."""

from __future__ import annotations

from asapbench.suite.catalog import AUGMENTATIONS, NORMALIZATIONS, PRECISIONS, SCHEDULES
from asapbench.suite.options import Option, describe, finite

PLAIN: dict[str, Option] = {
    option.name: option
    for option in (
        Option("epochs", 200, "passes over the training data", minimum=1),
        Option("batch_size", 128, "examples a step; the last, smaller batch is kept", minimum=2),
        Option("schedule", "cosine", "learning-rate schedule, one value an epoch", choices=SCHEDULES),
        Option(
            "augment",
            "auto",
            "augmentation; auto: what App. C says for the data set",
            ("auto", *AUGMENTATIONS),
        ),
        Option("normalization", "channel", "mean and std of the training pixels, or as released", NORMALIZATIONS),
        Option("precision", "float32", "arithmetic of the training step", choices=PRECISIONS),
        Option("validation", 0, "training examples held out to choose the best epoch", minimum=0),
    )
}
"""Recipe keys that hold one value, with their defaults."""


_LARGEST_RATE = 1e300
"""A step by more than this overflows whatever the gradient is."""


def checked_learning_rate(value: object) -> float:
    """`value` as a learning rate. Raises ValueError with what would be right."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a learning rate must be a number, not {describe(value)}")
    rate = finite(value, name="a learning rate")
    if rate <= 0:
        raise ValueError(f"a learning rate must be greater than 0, not {describe(value)}")
    if rate > _LARGEST_RATE:
        raise ValueError(f"a learning rate must be at most {_LARGEST_RATE:g}, not {describe(value)}")
    return rate


def checked_seed(value: object) -> int:
    """`value` as a seed. Raises ValueError with what would be right."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise ValueError(f"a seed must be a whole number from 0 to 2^63 - 1, not {describe(value)}")
