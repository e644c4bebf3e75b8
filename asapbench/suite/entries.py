"""What rules, models and optimizers declare about themselves, in their own module: free of torch.

`suite.datasets` has the same for data sets. Code that needs to know something about a rule or a model asks its entry;
no other code lists names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asapbench.errors import PluginError
from asapbench.suite.options import Choice, Entry

if TYPE_CHECKING:
    import torch
    from torch import nn

PAPER = "Woo et al. 2021"
"""The source of entries that follow the paper."""

Needs = Literal["convolutions", "linear"]
"""The only networks that a rule can train: those with convolutions, or those without."""


@dataclass(frozen=True)
class RuleEntry(Entry):
    """A learning rule. Its class has the entry as `entry`.

    `extra_weights`: what the rule learns beside the network (feedback weights, heads), in multiples of the network's
    weights; a function where it depends on the options. `projects_errors`: the rule holds a matrix of classes x units.
    """

    needs: Needs | None = None
    extra_weights: float | Callable[[Choice], float] = 0.0
    projects_errors: bool = False

    def learned_beside(self, choice: Choice) -> float:
        """`extra_weights` for these options."""
        return self.extra_weights(choice) if callable(self.extra_weights) else self.extra_weights

    def unsuited(self, model: ModelEntry) -> str | None:
        """Why this rule cannot train `model`, or None."""
        if self.needs == "convolutions" and not model.has_convolutions:
            return f"{self.name} needs convolutions, and {model.name} has none"
        if self.needs == "linear" and model.has_convolutions:
            return f"{self.name} is for fully connected networks, and {model.name} has convolutions"
        return None


@dataclass(frozen=True)
class LayerShape:
    """One weight layer: kernel `kernel` x `kernel` (1 for fully connected), output maps `size` x `size`.

    `pooled` is the size of the maps behind the max-pool that follows, None where none does. `shortcut`: the layer is a
    block's projection, off the main path. `batchnorm`: BatchNorm with scale and shift follows.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    kernel: int = 1
    size: int = 1
    bias: bool = False
    batchnorm: bool = False
    pooled: int | None = None
    shortcut: bool = False

    @property
    def weights(self) -> int:
        """Entries of W."""
        return self.inputs * self.outputs * self.kernel**2

    @property
    def parameters(self) -> int:
        """Entries of W, of the bias, and of the scale and shift of the BatchNorm that follows."""
        return self.weights + self.outputs * (self.bias + 2 * self.batchnorm)

    @property
    def multiplications(self) -> int:
        """Multiply-adds of one example's forward pass."""
        return self.weights * self.size**2

    @property
    def units(self) -> int:
        """Outputs for one example."""
        return self.outputs * self.size**2

    @property
    def activations(self) -> int:
        """What is passed on for one example: the outputs behind BatchNorm, ReLU and max-pool."""
        return self.units if self.pooled is None else self.outputs * self.pooled**2


@dataclass(frozen=True, kw_only=True)
class ModelEntry(Entry):
    """A network.

    `build(choice, channels=, size=, classes=)` returns the module for images of `channels` x `size` x `size`. `layers`,
    called alike, returns its weight layers in forward order, a block's projection after its convolutions, without
    torch; a model without it is built and measured instead.
    """

    build: Callable[..., nn.Module]
    layers: Callable[..., Iterable[LayerShape]] | None = None
    has_convolutions: bool = True
    has_shortcuts: bool = False

    def layers_of(self, choice: Choice, *, channels: int, size: int, classes: int) -> Iterable[LayerShape]:
        """`layers`, or what one forward pass of the built module shows, which imports torch."""
        if self.layers is not None:
            return self.layers(choice, channels=channels, size=size, classes=classes)
        measured = importlib.import_module("asapbench.models.networks.measured")
        try:
            found: Sequence[LayerShape] = measured.layers(
                self.build, choice, channels=channels, size=size, classes=classes
            )
        except Exception as error:  # the plug-in's own code
            shape = f"{channels} x {size} x {size} and {classes} classes"
            raise PluginError(
                f"the model {self.name} cannot be built for images of {shape}: {type(error).__name__}: {error}: "
                "correct it, or use other data"
            ) from error
        if not found:
            raise PluginError(f"the model {self.name} has no convolution and no fully connected layer: correct it")
        return found


@dataclass(frozen=True, kw_only=True)
class OptimizerEntry(Entry):
    """An optimizer. `moments`: how many tensors it keeps for each parameter.

    `build(choice, parameters, lr=lr)` is also given torch's `fused` or `capturable` where the fields say so. With
    `takes_fused`, `lr` is a tensor on a GPU, which CUDA graphs need. `fault` returns the option at fault and what is
    wrong with the options together, or None.
    """

    build: Callable[..., torch.optim.Optimizer]
    moments: int = 1
    takes_fused: bool = False
    takes_capturable: bool = False
    fault: Callable[[Choice], tuple[str, str] | None] = lambda _choice: None
