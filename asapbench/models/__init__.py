"""Models: one file for each architecture, free of torch. One definition serves every rule.

`networks` has what they share in torch, which is imported when a model is built.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from asapbench.suite.options import Choice

if TYPE_CHECKING:
    from torch import nn

    from asapbench.models.networks.modules import initialise


def build(model: Choice, *, channels: int, size: int, classes: int) -> nn.Module:
    """The chosen model for images of `channels` x `size` x `size`. Raises KeyError for an unknown name."""
    from asapbench.suite.catalog import MODELS

    return MODELS[model.name].build(model, channels=channels, size=size, classes=classes)


def __getattr__(name: str) -> Any:
    if name == "initialise":
        return importlib.import_module("asapbench.models.networks.modules").initialise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["build", "initialise"]
