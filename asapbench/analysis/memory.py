"""External memory accesses of one training step (App. F, eq. 48-49), from the layer shapes. Torch-free.

The forward pass reads the parameters P and writes the activations A; the backward pass reads both and writes the
weight changes: (P, A) and (P + A, P), 3P + 2A in total. The unit is one number, whatever its bytes.

- P: every weight, bias, scale and shift. W counts once: the backward pass reads B in its place, and dW = dB is
  written once. `with_feedback` also counts the learned B.
- A under backpropagation: batch x outputs of every weight layer of the main path, behind BatchNorm, addition, ReLU and
  max-pool. A shortcut's outputs go directly into the addition; a ResNet's average pool belongs to its classifier.
- A under ASAP: batch x inputs of the convolutions that open a group, c_(kg+1), and of every fully connected layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from asapbench.errors import AsapbenchError
from asapbench.rules.bp import MICRO_BATCHES, parts_of
from asapbench.suite.catalog import RULES, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.entries import LayerShape
from asapbench.suite.shapes import layers_for


@dataclass(frozen=True)
class Accesses:
    """Reads and writes of the forward and of the backward pass, for one batch."""

    forward_reads: int
    forward_writes: int
    backward_reads: int
    backward_writes: int

    @property
    def total(self) -> int:
        """All four."""
        return sum(asdict(self).values())

    @property
    def by_name(self) -> dict[str, int]:
        """The four counts by name, `forward reads` first, and their `total`."""
        return {name.replace("_", " "): count for name, count in asdict(self).items()} | {"total": self.total}


def backpropagation(layers: Sequence[LayerShape], *, batch: int) -> Accesses:
    """Eq. 48-49 with every activation stored. FA and KP count the same: their updates need the same activations.

    >>> from asapbench.suite.catalog import DATASETS, MODELS
    >>> from asapbench.suite.shapes import layers_for
    >>> layers = layers_for(MODELS["resnet18"].choose(), DATASETS["cifar10"].choose())
    >>> backpropagation(layers, batch=128).total
    176130842
    """
    return _accesses(parameters(layers), batch * sum(layer.activations for layer in layers if not layer.shortcut))


def asap(layers: Sequence[LayerShape], *, batch: int, k: int, with_feedback: bool = False) -> Accesses:
    """Eq. 48-49 with only the shared activations stored. Raises AsapbenchError if nothing can be shared.

    `with_feedback`: the backward pass also reads the learned B and writes its change.

    >>> from asapbench.suite.catalog import DATASETS, MODELS
    >>> from asapbench.suite.shapes import layers_for
    >>> layers = layers_for(MODELS["resnet18"].choose(), DATASETS["cifar10"].choose())
    >>> round(asap(layers, batch=128, k=4).total / backpropagation(layers, batch=128).total, 3)
    0.453
    """
    feedback = sum(layer.weights for layer in layers[1:] if layer.kind == "conv" and with_feedback)
    return _accesses(parameters(layers), batch * shared_activations(layers, k=k), feedback=feedback)


def in_parts(whole: Accesses, parts: int) -> Accesses:
    """Those of a batch whose gradients are summed part by part: each reads the parameters and the sum so far."""
    p = whole.forward_reads
    return Accesses(
        parts * p,
        whole.forward_writes,
        whole.backward_reads + 2 * (parts - 1) * p,
        parts * whole.backward_writes,
    )


def accesses_of_step(cell: Cell, *, batch: int | None = None) -> Accesses | None:
    """Those of one training step of the cell under its rule, on `batch` examples, by default its batch size.

    Learned feedback is not counted, as in Figure 11. None where the rule does not declare what it stores.
    Raises AsapbenchError if the model has no layers to count, or nothing in it can be shared.
    """
    stored, batch = RULES[cell.rule.name].stores(cell.rule), cell.batch_size if batch is None else batch
    if stored is None:
        return None
    layers = layers_for(cell.model, cell.dataset)
    if stored == "all":
        parts = parts_of(batch, wanted=int(dict(cell.rule.options).get(MICRO_BATCHES.name, 1)))
        return in_parts(backpropagation(layers, batch=batch), parts)
    return asap(layers, batch=batch, k=cell.rule.integer("k"))


def accesses_of_epoch(cell: Cell) -> int | None:
    """All accesses of the steps of one epoch: over whole batches and the smaller last one. As `accesses_of_step`."""
    whole, rest = divmod(dataset_shape(cell.dataset).train - cell.validation, cell.batch_size)
    full, last = (accesses_of_step(cell, batch=size) for size in (cell.batch_size, rest))
    if full is None or last is None:
        return None
    return whole * full.total + (last.total if rest else 0)


def parameters(layers: Sequence[LayerShape]) -> int:
    """P: the number of parameters."""
    return sum(layer.parameters for layer in layers)


def shared_activations(layers: Sequence[LayerShape], *, k: int) -> int:
    """Numbers that ASAP with block size `k` stores per example. Raises AsapbenchError below three convolutions."""
    main = [layer for layer in layers if layer.kind == "conv" and not layer.shortcut]
    if len(main) < 3:
        raise AsapbenchError(
            f"activation sharing needs at least 3 convolutions on the main path, and there are {len(main)}"
        )
    inputs = {i: before.activations for i, (before, _) in enumerate(pairwise(main), start=1)}
    openers = {k * ((i - 2) // k) + 1 for i in range(2, len(main))}
    linear = sum(layer.inputs for layer in layers if layer.kind == "linear")
    return sum(inputs[i] for i in openers) + linear


def _accesses(p: int, a: int, *, feedback: int = 0) -> Accesses:
    return Accesses(p, a, p + feedback + a, p + feedback)
