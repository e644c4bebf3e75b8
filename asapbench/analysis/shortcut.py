"""The shortcut effect (Woo et al. 2021, Appendix E, eq. 43-47): shortcuts bring ASAP's weight change nearer to BP's.

Layer l+3 reads h_(l+2). Under ASAP with k = 2 its weight change is formed from the shared activation h_l instead:

    with a shortcut     h_(l+2) = phi(W h_(l+1) + b) + h_l     BP: g1 + g2     ASAP: g2
    without             h_(l+2) = phi(W h_(l+1) + b)           BP: g1          ASAP: g2

where g1 = delta_(l+3) phi(...)^T and g2 = delta_(l+3) h_l^T. The paper adds after the nonlinearity, real ResNets
before it: h_(l+2) = relu(batchnorm(W h_(l+1)) + h_l). So phi(...) is here what the block adds to its input,
h_(l+2) - h_l, and g1 + g2 is exactly backpropagation's weight change. delta is backpropagation's own, through W^T, in
both columns, of the trained network, in training mode.

Layers l+3 are the main path's convolutions c3, c5, ... whose shared activation has the shape of their input. Behind a
block that changes the shape, the shortcut contains a projection of h_l; Appendix E does not treat it.
torch is imported only by a measurement.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from asapbench.analysis.saved_weights import Kept, kept_weights
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.machine.hardware import commit, hardware, versions
from asapbench.metrics import Measurement
from asapbench.store import Provenance
from asapbench.suite.select import only

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

    from asapbench.rules.engine.graph import Dataflow, WeightLayer
    from asapbench.store import Store

NAME = "shortcut"
ANGLE, ANGLE_OF_G1 = "BP to ASAP", "g1 to ASAP"
"""Degrees between the two rules' weight changes, and the same without the shortcut's own term."""
LENGTHS = ("g1", "g2", "g1+g2")
"""Euclidean norms, in the unit of a gradient."""
K = 2
"""Block size of ASAP: Appendix E's residual block has two layers."""


@dataclass(frozen=True)
class Place:
    """A layer l+3 of a network; `shared` is the node of h_l, which a shortcut may add to the layer's input."""

    layer: WeightLayer
    shared: fx.Node
    has_shortcut: bool


@dataclass(frozen=True)
class WeightChange:
    """One layer's weight changes for one batch: backpropagation's, and its parts."""

    layer: str
    bp: Tensor
    g1: Tensor
    g2: Tensor


def shortcut_effect(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> list[Measurement]:
    """Every quantity of every layer l+3, mean and standard deviation over `batches` of (N, C, H, W) and (N,).

    Leaves `model` in training mode with other running statistics. Raises AsapbenchError for a network without such a
    layer.

    >>> import torch
    >>> from asapbench.suite.catalog import MODELS
    >>> model = MODELS["resnet10"].build(MODELS["resnet10"].choose({"width": 4}), channels=1, size=8, classes=10)
    >>> found = shortcut_effect(model, [(torch.rand(4, 1, 8, 8), torch.arange(4))])
    >>> found[0].layer, found[0].quantity, found[0].n
    ('stages.1.0.conv1', 'BP to ASAP', 1)
    """
    samples: dict[tuple[str, str], list[float | None]] = {}
    for x, y in batches:
        for change in weight_changes(model, x, y):
            for quantity, value in _quantities(change).items():
                samples.setdefault((change.layer, quantity), []).append(value)
    return [_summary(*key, values) for key, values in samples.items()]


def weight_changes(model: nn.Module, x: Tensor, y: Tensor) -> list[WeightChange]:
    """The weight changes of each layer l+3 on one batch, in forward order. Leaves `model` in training mode."""
    import torch

    from asapbench.rules.engine.criterion import cross_entropy
    from asapbench.rules.engine.graph import capture
    from asapbench.rules.engine.program import add_outputs, compiled

    flow = capture(model, x)
    found = places(flow)
    if not found:
        raise AsapbenchError(
            "no convolution follows a block of two and could share its input: the shortcut effect is one of residual "
            "networks, and of the same networks without shortcuts"
        )
    add_outputs([node for p in found for node in (p.layer.node, p.layer.input, p.shared)], flow.program)
    logits, tensors = compiled(flow.program).train()(x)
    outputs, inputs, shared = tensors[::3], tensors[1::3], tensors[2::3]
    deltas = torch.autograd.grad(cross_entropy(logits, y), outputs)
    changes = []
    for place, delta, own, h in zip(found, deltas, inputs, shared, strict=True):
        bp, g2 = _weight_change(place.layer, own, delta), _weight_change(place.layer, h, delta)
        g1 = _weight_change(place.layer, own - h, delta) if place.has_shortcut else bp
        changes.append(WeightChange(place.layer.name, bp, g1, g2))
    return changes


def _weight_change(layer: WeightLayer, source: Tensor, delta: Tensor) -> Tensor:
    """The weight change delta h^T of a convolution that would read `source` as h."""
    import torch
    import torch.nn.functional as F

    from asapbench.rules.engine.layers import geometry

    assert isinstance(layer.module, torch.nn.Conv2d)
    weight = layer.module.weight.detach().requires_grad_()
    (change,) = torch.autograd.grad(F.conv2d(source.detach(), weight, None, *geometry(layer.module)), weight, delta)
    return change


def _quantities(change: WeightChange) -> dict[str, float | None]:
    from asapbench.training.alignment import degrees

    lengths = (float(g.norm()) for g in (change.g1, change.g2, change.g1 + change.g2))
    return {
        ANGLE: degrees(change.bp, change.g2),
        ANGLE_OF_G1: degrees(change.g1, change.g2),
        **dict(zip(LENGTHS, lengths, strict=True)),
    }


def places(flow: Dataflow) -> list[Place]:
    """The layers l+3 of a network, in forward order."""
    from asapbench.rules.sharing import shared_activations

    if len(flow.main) <= K + 1:
        return []
    shared = shared_activations(flow, K)
    found = []
    for layer in flow.main[K + 1 :: K]:
        h = shared[layer.name]
        if h is not None and flow.shape(h) == flow.shape(layer.input):
            found.append(Place(layer, h, has_shortcut=_adds(layer.input, h, flow.program)))
    return found


def _adds(node: fx.Node, shared: fx.Node, program: fx.GraphModule) -> bool:
    """Whether `node` is a sum that `shared` is part of, or the nonlinearity behind one."""
    from asapbench.rules.engine.ops import ACTIVATION

    total = node.all_input_nodes[0] if ACTIVATION.has(node, program) else node
    return shared in total.all_input_nodes


def _summary(layer: str, quantity: str, samples: list[float | None]) -> Measurement:
    there = [value for value in samples if value is not None]
    return Measurement(
        layer,
        quantity,
        value=statistics.fmean(there) if there else None,
        spread=statistics.stdev(there) if len(there) > 1 else None,
        n=len(there),
    )


def chosen(
    store: Store, prefixes: Sequence[str], *, suite: str | None, filters: Sequence[str], files: Path | None = None
) -> list[Kept]:
    """The kept weights of the named cells, or of all selected by a suite or filters that have them.

    Raises SuiteError if none or both are given, StoreError if there are no kept weights.
    """
    if bool(prefixes) == bool(suite or filters):
        raise SuiteError("analyze shortcut: name cells, or choose them with --suite or --only")
    if prefixes:
        return [kept_weights(store, prefix, files=files) for prefix in prefixes]
    results = [result for result in store.results(suite=suite) if result.attempt.weights_path is not None]
    wanted = only([result.cell for result in results], filters)
    return [kept_weights(store, cell.stored_id, files=files) for cell in wanted]


def analyze_cell(store: Store, kept: Kept, *, batches: int, data: Path | None) -> None:
    """Measures one cell on the first `batches` batches of its first epoch, on the CPU, and stores the rows.

    Raises AsapbenchError for a network that has no layer to measure, StoreError and DataError for what is missing.
    """
    import torch

    from asapbench.training.batches import training_batches
    from asapbench.training.environment import configure

    device = torch.device("cpu")
    configure(device, threads=1, deterministic=True, precision=kept.cell.precision)
    images = kept.images(store, data)
    train, _ = training_batches(kept.cell, images, device, memory_format=torch.contiguous_format)
    rows = shortcut_effect(kept.model(), islice(train.epoch(1, kept.cell.batch_size), batches))
    provenance = Provenance(*commit(), versions(), hardware())
    store.record_measurements(NAME, kept.attempt.id, rows, provenance)
