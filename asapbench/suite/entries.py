"""What rules, models, data sets, optimizers and schedules declare about themselves, in their own module: without torch.

Code that needs to know something about one of them asks its entry; no other code lists names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from asapbench.suite.options import Choice, Entry, Option, Value

if TYPE_CHECKING:
    import torch
    from torch import nn

PAPER = "Woo et al. 2021"
"""The source of entries that follow the paper."""

Needs = Literal["convolutions", "linear"]
"""The only networks that a rule can train: those with convolutions, or those without."""


Stored = Literal["all", "shared"]
"""The activations that a training step keeps for its backward pass: of every layer, or one for each k convolutions."""

Color = Literal["ink", "blue", "vermillion", "green", "purple", "orange", "sky"]
Marker = Literal[
    "circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "plus", "star", "pentagon", "hexagon"
]
Dash = Literal["solid", "dashed", "dash-dot", "dotted"]


class Look(NamedTuple):
    """How every figure draws a rule, by names; `report.figures.looks` knows what they are in matplotlib and plotly.

    `tone` tells variants of one rule apart: 0 is the colour itself.
    """

    color: Color
    marker: Marker
    dash: Dash = "solid"
    tone: int = 0


@dataclass(frozen=True)
class RuleEntry(Entry):
    """A learning rule. Its class has the entry as `entry`.

    `extra_weights`: what the rule learns beside the network (feedback weights, heads), in multiples of the network's
    weights; a function where it depends on the options. `projects_errors`: the rule holds a matrix of classes x units,
    which it learns with `learns_projections`. `needs_float32`: it has no use in another precision. `look`: how figures
    draw it; without one, its name chooses a look that no other rule of the catalog has. `stored_activations`: those
    that its backward pass reads, for the count of memory accesses (App. F), a function where it depends on the options;
    None where that count does not describe the rule. `fault` says why a choice cannot be used with batches of this
    size, and how to fix it, as (option, message), or None. `controls` names options whose values are ways to compute
    the rule, for a comparison of costs: each is a rule of its own there, never one of several swept values.
    """

    needs: Needs | None = None
    extra_weights: float | Callable[[Choice], float] = 0.0
    projects_errors: bool = False
    learns_projections: bool = False
    needs_float32: bool = False
    look: Look | None = None
    stored_activations: Stored | Callable[[Choice], Stored | None] | None = None
    fault: Callable[[Choice, int], tuple[str, str] | None] = lambda _choice, _batch_size: None
    controls: tuple[str, ...] = ()

    def control_of(self, choice: Choice) -> dict[str, Value]:
        """The `controls` that a choice has, with their values; none where they are at their defaults."""
        own = {name: value for name, value in choice.options if name in self.controls}
        return {name: value for name, value in own.items() if value != self.option(name).default}

    def learned_beside(self, choice: Choice) -> float:
        """`extra_weights` for these options."""
        return self.extra_weights(choice) if callable(self.extra_weights) else self.extra_weights

    def stores(self, choice: Choice) -> Stored | None:
        """`stored_activations` for these options."""
        return self.stored_activations(choice) if callable(self.stored_activations) else self.stored_activations

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


@dataclass(frozen=True)
class Epoch:
    """One epoch of a cell: `number` counts from 1 to `epochs`, and the first `warmup` of them ramp the rate up."""

    number: int
    epochs: int
    warmup: int = 0

    @property
    def done(self) -> int:
        """Epochs before this one, the warm-up left out."""
        return self.number - 1 - self.warmup

    @property
    def total(self) -> int:
        """Epochs of the cell, the warm-up left out."""
        return self.epochs - self.warmup


@dataclass(frozen=True, kw_only=True)
class ScheduleEntry(Entry):
    """A schedule: `factor` gives the learning rate of an epoch behind the warm-up, in units of the initial rate.

    `fault` says why a choice cannot be used for so many epochs, and how to fix it, as (option, message), or None.
    """

    factor: Callable[[Choice, Epoch], float]
    fault: Callable[[Choice, int], tuple[str, str] | None] = lambda _choice, _epochs: None


TRAIN_SIZE = Option("train_size", 0, "only the first N training images; 0: all", minimum=0)


@dataclass(frozen=True)
class DatasetShape:
    """Examples of `channels` x `size` x `size` numbers of `value_bytes` bytes; `train` and `test` count them.

    Feature vectors of D numbers are D channels of size 1.
    """

    channels: int
    size: int
    classes: int
    train: int
    test: int
    value_bytes: int = 1

    @property
    def is_features(self) -> bool:
        """Whether an example is a feature vector: it has no rows and columns."""
        return self.size == 1


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A data set: images of `channels` x `size` x `size`, `classes` classes, `train` and `test` examples.

    `augment` is the recipe of App. C for it. `fingerprint` is the SHA-256 of the decoded complete set, where known.
    `released` is the mean and deviation by channel, pixels in 0..1, that the paper's released code normalises with.
    """

    channels: int = 3
    size: int = 32
    classes: int = 10
    train: int = 50_000
    test: int = 10_000
    augment: str = "none"
    fingerprint: str | None = None
    released: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def reads_a_path(self) -> bool:
        """Whether a suite names its files by a path."""
        return any(option.role == "place" for option in self.options)

    def settings(self, dataset: Choice) -> dict[str, Value]:
        """The options of `dataset` that a suite gives, without its label and place."""
        return {name: value for name, value in self.given(dataset).items() if self.option(name).is_identity}

    def whole(self, dataset: Choice) -> DatasetShape:
        """The shape of the classes that `dataset` keeps, with all their training examples."""
        classes = int(dict(dataset.options).get("classes", self.classes))
        train, test = (count * classes // self.classes for count in (self.train, self.test))
        return DatasetShape(self.channels, self.size, classes, train, test)

    def beyond(self, dataset: Choice) -> str | None:
        """What is wrong with a `train_size` greater than the training examples, and how to fix it; else None."""
        wanted, available = dataset.integer("train_size"), self.whole(dataset)
        if wanted <= available.train:
            return None
        of = f" of its first {available.classes} classes" if available.classes < self.classes else ""
        return (
            f"train_size {wanted} is more than the {available.train} training images that {self.name} has{of}: take at "
            f"most {available.train}, or 0 for all"
        )

    def within(self, dataset: Choice) -> Choice:
        """`dataset`, with all training examples if it asks for more: what earlier versions trained on."""
        if self.beyond(dataset) is None:
            return dataset
        return self.with_options(dataset, train_size=0)

    def completed(self, dataset: Choice, *, folder: Path) -> Choice:
        """`dataset` with what only its files can tell, such as their content; most data sets need nothing.

        A relative path is relative to `folder`. Raises DataError for files that cannot be used.
        """
        return dataset
