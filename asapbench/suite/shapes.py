"""Layer shapes of the catalog's models, torch-free: what a cell costs in arithmetic, memory and disk.

A test keeps them equal to the torch modules. Cells of a suite share a few models and data sets: each is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from asapbench.suite.catalog import LEARNED_BESIDE, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice

RESNET_BLOCKS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Residual blocks of each stage (He et al. 2016; ResNet-10 has one a stage)."""

_TENSORS = 4
"""A training step holds a layer's outputs before and behind BatchNorm, behind ReLU, and their error signals."""


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


def layer_shapes(model: Choice, *, channels: int, size: int, classes: int) -> tuple[LayerShape, ...]:
    """Every convolution and fully connected layer in forward order, a block's projection after its two convolutions."""
    if model.name == "alexnet":
        return tuple(_alexnet(model, channels, size, classes))
    if model.name == "mlp":
        return tuple(_mlp(model, channels * size * size, classes))
    return tuple(_resnet(model, channels, size, classes))


@lru_cache(maxsize=1_000)
def layers_for(model: Choice, dataset: Choice) -> tuple[LayerShape, ...]:
    """`layer_shapes` of a model on the images of a data set."""
    shape = dataset_shape(dataset)
    return layer_shapes(model, channels=shape.channels, size=shape.size, classes=shape.classes)


@lru_cache(maxsize=1_000)
def training_multiplications(model: Choice, dataset: Choice) -> int:
    """Multiply-adds of one training epoch by backpropagation: forward, error and weight gradient, 3 a weight layer.

    The first layer has no error to pass down. Evaluation of the test set is one forward pass more.
    """
    shape, layers = dataset_shape(dataset), layers_for(model, dataset)
    forward = sum(layer.multiplications for layer in layers)
    return shape.train * (3 * forward - layers[0].multiplications) + shape.test * forward


def checkpoint_bytes(cell: Cell) -> int:
    """Bytes of one checkpoint, about: what learns (weights, explicit feedback, heads) and its moments, in float32."""
    copies = 3 if cell.optimizer.name.startswith("adam") else 2
    explicit = dict(cell.rule.options).get("form") == "explicit"
    learned = 1 + LEARNED_BESIDE.get(cell.rule.name, float(explicit))
    return 4 * round(copies * learned * _weights(cell.model, cell.dataset)) + 40_000


def training_bytes(cell: Cell, *, evaluated: int) -> int:
    """Bytes that training takes of a device's memory, a generous estimate for a cell that was never measured.

    Weights with their gradients, moments and what the rule learns or fixes beside them; what one batch of training and
    one of `evaluated` examples leave on the way; the data set.
    """
    shape, layers = dataset_shape(cell.dataset), layers_for(cell.model, cell.dataset)
    weights, units = sum(layer.parameters for layer in layers), sum(layer.units for layer in layers)
    copies = 4 if cell.optimizer.name.startswith("adam") else 3
    learned = 1 + max(LEARNED_BESIDE.get(cell.rule.name, 1.0), 1.0)
    projected = shape.classes * units if cell.rule.name == "dfa" else 0
    kept = _TENSORS * cell.batch_size * units
    passed = 3 * evaluated * max(layer.units for layer in layers)
    images = (shape.train + shape.test) * shape.channels * shape.size**2 * shape.value_bytes
    return 2 * images + 4 * round(copies * learned * weights + projected + max(kept, passed))


@lru_cache(maxsize=1_000)
def _weights(model: Choice, dataset: Choice) -> int:
    return sum(layer.weights for layer in layers_for(model, dataset))


def _resnet(model: Choice, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    width, base = model.integer("width"), model.name.removesuffix("_nsc")
    yield LayerShape("stem", "conv", channels, width, 3, size, batchnorm=True)
    inputs = width
    for stage, count in enumerate(RESNET_BLOCKS[base]):
        outputs = width * 2**stage
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            size = -(-size // stride)
            name = f"stages.{stage}.{block}"
            yield LayerShape(f"{name}.conv1", "conv", inputs, outputs, 3, size, batchnorm=True)
            yield LayerShape(f"{name}.conv2", "conv", outputs, outputs, 3, size, batchnorm=True)
            if base == model.name and (stride != 1 or inputs != outputs):
                projection = f"{name}.projection.0"
                yield LayerShape(projection, "conv", inputs, outputs, 1, size, batchnorm=True, shortcut=True)
            inputs = outputs
    yield _classifier(model, inputs, classes)


def _alexnet(model: Choice, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    kernel, width, hidden = model.integer("kernel"), model.integer("width"), model.integer("hidden")
    inputs, bias = channels, model.flag("conv_bias")
    for number, outputs in enumerate((width, 2 * width, 4 * width)):
        size = size + 5 - kernel
        pooled = (size + (kernel == 5)) // 2
        name = f"features.{4 * number}"
        yield LayerShape(name, "conv", inputs, outputs, kernel, size, bias, batchnorm=True, pooled=pooled)
        inputs, size = outputs, pooled
    yield LayerShape("hidden.0", "linear", inputs * size * size, hidden, bias=True, batchnorm=True)
    yield LayerShape("hidden.3", "linear", hidden, hidden, bias=True, batchnorm=True)
    yield _classifier(model, hidden, classes)


def _mlp(model: Choice, inputs: int, classes: int) -> Iterator[LayerShape]:
    hidden, nonlinear = model.integer("hidden"), model.flag("nonlinear")
    for number in range(model.integer("depth")):
        name = f"hidden.{number * (3 if nonlinear else 1)}"
        yield LayerShape(name, "linear", inputs, hidden, bias=True, batchnorm=nonlinear)
        inputs = hidden
    yield _classifier(model, inputs, classes, linear=not nonlinear)


def _classifier(model: Choice, inputs: int, classes: int, *, linear: bool = False) -> LayerShape:
    """The last layer; a linear network has no BatchNorm, on the logits neither."""
    batchnorm = model.flag("logits_batchnorm") and not linear
    return LayerShape("fc", "linear", inputs, classes, bias=True, batchnorm=batchnorm)
