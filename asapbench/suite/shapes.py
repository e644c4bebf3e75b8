"""Layer shapes of the catalog's models, torch-free: what a cell costs in arithmetic, memory and disk.

A test keeps them equal to the torch modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asapbench.suite.catalog import EXPLICIT_FEEDBACK, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice

RESNET_BLOCKS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Residual blocks of each stage (He et al. 2016; ResNet-10 has one a stage)."""


@dataclass(frozen=True)
class LayerShape:
    """One weight layer: kernel `kernel` x `kernel` (1 for fully connected), output maps `size` x `size`."""

    name: str
    kind: str
    inputs: int
    outputs: int
    kernel: int = 1
    size: int = 1
    bias: bool = False

    @property
    def weights(self) -> int:
        """Entries of W."""
        return self.inputs * self.outputs * self.kernel**2

    @property
    def multiplications(self) -> int:
        """Multiply-adds of one example's forward pass."""
        return self.weights * self.size**2

    @property
    def units(self) -> int:
        """Outputs for one example."""
        return self.outputs * self.size**2


def layer_shapes(model: Choice, *, channels: int, size: int, classes: int) -> list[LayerShape]:
    """Every convolution and fully connected layer in forward order, a block's projection after its two convolutions."""
    if model.name == "alexnet":
        return list(_alexnet(model, channels, size, classes))
    if model.name == "mlp":
        return list(_mlp(model, channels * size * size, classes))
    return list(_resnet(model, channels, size, classes))


def training_multiplications(cell: Cell) -> int:
    """Multiply-adds of one training epoch by backpropagation: forward, error and weight gradient, 3 a weight layer.

    The first layer has no error to pass down. Evaluation of the test set is one forward pass more.
    """
    shape = dataset_shape(cell.dataset)
    layers = layer_shapes(cell.model, channels=shape.channels, size=shape.size, classes=shape.classes)
    forward = sum(layer.multiplications for layer in layers)
    return shape.train * (3 * forward - layers[0].multiplications) + shape.test * forward


def checkpoint_bytes(cell: Cell) -> int:
    """Bytes of one checkpoint, about: weights, momentum, and learned feedback where it is explicit, in float32."""
    shape = dataset_shape(cell.dataset)
    layers = layer_shapes(cell.model, channels=shape.channels, size=shape.size, classes=shape.classes)
    copies = 3 if cell.optimizer.name.startswith("adam") else 2
    if dict(cell.rule.options).get("form") == "explicit" or cell.rule.name in EXPLICIT_FEEDBACK:
        copies *= 2
    return 4 * copies * sum(layer.weights for layer in layers) + 40_000


def _resnet(model: Choice, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    width, base = model.integer("width"), model.name.removesuffix("_nsc")
    yield LayerShape("stem", "conv", channels, width, 3, size)
    inputs = width
    for stage, count in enumerate(RESNET_BLOCKS[base]):
        outputs = width * 2**stage
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            size = -(-size // stride)
            name = f"stages.{stage}.{block}"
            yield LayerShape(f"{name}.conv1", "conv", inputs, outputs, 3, size)
            yield LayerShape(f"{name}.conv2", "conv", outputs, outputs, 3, size)
            if base == model.name and (stride != 1 or inputs != outputs):
                yield LayerShape(f"{name}.projection.0", "conv", inputs, outputs, 1, size)
            inputs = outputs
    yield LayerShape("fc", "linear", inputs, classes, bias=True)


def _alexnet(model: Choice, channels: int, size: int, classes: int) -> Iterator[LayerShape]:
    kernel, width, hidden = model.integer("kernel"), model.integer("width"), model.integer("hidden")
    inputs = channels
    for number, outputs in enumerate((width, 2 * width, 4 * width)):
        size = size + 5 - kernel
        yield LayerShape(f"features.{4 * number}", "conv", inputs, outputs, kernel, size, model.flag("conv_bias"))
        size = (size + (kernel == 5)) // 2
        inputs = outputs
    yield LayerShape("hidden.0", "linear", inputs * size * size, hidden, bias=True)
    yield LayerShape("hidden.3", "linear", hidden, hidden, bias=True)
    yield LayerShape("fc", "linear", hidden, classes, bias=True)


def _mlp(model: Choice, inputs: int, classes: int) -> Iterator[LayerShape]:
    hidden, step = model.integer("hidden"), 3 if model.flag("nonlinear") else 1
    for number in range(model.integer("depth")):
        yield LayerShape(f"hidden.{number * step}", "linear", inputs, hidden, bias=True)
        inputs = hidden
    yield LayerShape("fc", "linear", inputs, classes, bias=True)
