"""Layer shapes of the catalog's models, torch-free: what a cell costs in arithmetic, memory and disk.

A test keeps them equal to the torch modules. Cells of a suite share a few models and data sets: each is counted once.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from asapbench.errors import PluginError
from asapbench.suite.catalog import MODELS, OPTIMIZERS, RULES, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.entries import LayerShape, ModelEntry
from asapbench.suite.options import Choice

_TENSORS = 4
"""A training step holds a layer's outputs before and behind BatchNorm, behind ReLU, and their error signals."""


def layer_shapes(model: Choice, *, channels: int, size: int, classes: int) -> tuple[LayerShape, ...]:
    """Every convolution and fully connected layer in forward order, a block's projection after its two convolutions."""
    return tuple(layers_of(MODELS[model.name], model, channels=channels, size=size, classes=classes))


def layers_of(entry: ModelEntry, choice: Choice, *, channels: int, size: int, classes: int) -> Iterable[LayerShape]:
    """What the entry declares, or what one forward pass of the built module shows, which imports torch."""
    if entry.layers is not None:
        return entry.layers(choice, channels=channels, size=size, classes=classes)
    measured = importlib.import_module("asapbench.models.networks.measured")
    try:
        found: Sequence[LayerShape] = measured.layers(
            entry.build, choice, channels=channels, size=size, classes=classes
        )
    except Exception as error:  # the plug-in's own code
        shape = f"{channels} x {size} x {size} and {classes} classes"
        raise PluginError(
            f"the model {entry.name} cannot be built for images of {shape}: {type(error).__name__}: {error}: "
            "correct it, or use other data"
        ) from error
    if not found:
        raise PluginError(f"the model {entry.name} has no convolution and no fully connected layer: correct it")
    return found


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
    copies, rule = 1 + OPTIMIZERS[cell.optimizer.name].moments, RULES[cell.rule.name]
    layers = layers_for(cell.model, cell.dataset)
    learned = (1 + rule.learned_beside(cell.rule)) * sum(layer.weights for layer in layers)
    if rule.learns_projections:
        learned += projections(layers, dataset_shape(cell.dataset).classes)
    return 4 * round(copies * learned) + 40_000


def projections(layers: Sequence[LayerShape], classes: int) -> int:
    """Entries of a matrix (classes, units) for the output of each layer of the main path but the last."""
    return classes * sum(layer.activations for layer in layers[:-1] if not layer.shortcut)


def training_bytes(cell: Cell, *, evaluated: int) -> int:
    """Bytes that training takes of a device's memory, a generous estimate for a cell that was never measured.

    Weights with their gradients, moments and what the rule learns or fixes beside them; what one batch of training and
    one of `evaluated` examples leave on the way; the data set.
    """
    shape, layers = dataset_shape(cell.dataset), layers_for(cell.model, cell.dataset)
    weights, units = sum(layer.parameters for layer in layers), sum(layer.units for layer in layers)
    copies, rule = 2 + OPTIMIZERS[cell.optimizer.name].moments, RULES[cell.rule.name]
    learned = 1 + max(rule.learned_beside(cell.rule), 1.0)
    projected = projections(layers, shape.classes) * (copies if rule.learns_projections else int(rule.projects_errors))
    kept = _TENSORS * cell.batch_size * units
    passed = 3 * evaluated * max(layer.units for layer in layers)
    images = (shape.train + shape.test) * shape.channels * shape.size**2 * shape.value_bytes
    return 2 * images + 4 * round(copies * learned * weights + projected + max(kept, passed))
