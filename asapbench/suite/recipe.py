"""The recipe of a cell: how a network is trained. Every recipe key is declared here, and only here.

A key is declared once, as a field of `Recipe`: its default, what it may be, and its place in the identity. Suites,
`--set`, `--only`, cells, the database and the documentation read these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from asapbench.suite.options import Option, Value, describe, finite

RECIPE_REVISION = 2
"""Raised when the training loop, the augmentation, the evaluation or random draws change what a cell gives.

2: random numbers have the same bits on every processor (decision 0021).
"""

AUGMENTATIONS = ("none", "crop_flip")
NORMALIZATIONS = ("channel", "released")
PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Key(Option):
    """One recipe key. `always`: it is in the identity even at its default; new keys are not, to move no cell."""

    always: bool = False

    def is_stored(self, value: Value) -> bool:
        """Whether a cell with this value says so, in its identity and in the database."""
        return self.always or value != self.default


def _key(default: Value, help: str, **terms: Any) -> Any:
    """A field of `Recipe` with its declaration; `terms` are those of `Key`."""
    return field(default=default, metadata={"key": lambda name: Key(name, default, help, **terms)})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The values of the recipe keys. `augment` is resolved in a cell: it is never `auto` there."""

    epochs: int = _key(200, "passes over the training data", minimum=1, always=True)
    batch_size: int = _key(128, "examples a step; the last, smaller batch is kept", minimum=2, always=True)
    augment: str = _key(
        "auto", "augmentation; auto: what App. C says for the data set", choices=("auto", *AUGMENTATIONS), always=True
    )
    normalization: str = _key("channel", "mean and std of the training pixels, or as released", choices=NORMALIZATIONS)
    precision: str = _key("float32", "arithmetic of the training step", choices=PRECISIONS)
    validation: int = _key(0, "training examples held out to choose the best epoch", minimum=0)
    warmup: int = _key(0, "epochs in which the learning rate first rises linearly to its initial value", minimum=0)
    label_smoothing: float = _key(0.0, "share of the training target spread over all classes", minimum=0, below=1)
    test_set: bool = _key(True, "whether the test set is evaluated after each epoch; in a trial of `tune` it is not")


RECIPE: dict[str, Key] = {one.name: one.metadata["key"](one.name) for one in fields(Recipe)}
"""Every recipe key by its name."""

_LARGEST_RATE = 1e300
"""With a larger rate every step overflows, for any gradient."""


def checked_learning_rate(value: object) -> float:
    """`value` as a learning rate. Raises ValueError that says what is allowed."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a learning rate must be a number, not {describe(value)}")
    rate = finite(value, name="a learning rate")
    if rate <= 0:
        raise ValueError(f"a learning rate must be greater than 0, not {describe(value)}")
    if rate > _LARGEST_RATE:
        raise ValueError(f"a learning rate must be at most {_LARGEST_RATE:g}, not {describe(value)}")
    return rate


def checked_seed(value: object) -> int:
    """`value` as a seed. Raises ValueError that says what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    raise ValueError(f"a seed must be a whole number from 0 to 2^63 - 1, not {describe(value)}")
