"""The time of an epoch on a GPU that is not here, for `--dry-run --device NAME`. Torch-free.

What the database has of that hardware counts first. Else the shipped measurements of one network count, scaled to the
cell: a step that waits for the host by its number of layers, one that does not by its floor, the least time that the
device's peaks allow. Without a measurement of the device there is only that floor, and it is called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.analysis.speed import step_bytes
from asapbench.machine.known_devices import KnownDevice
from asapbench.running.estimate import Basis, EpochTime, EpochTimes
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse
from asapbench.suite.shapes import layers_for, training_multiplications

if TYPE_CHECKING:
    from asapbench.store import Timing

_REFERENCE = """
[suite]
name = "reference"
[[grid]]
dataset = "cifar10"
model = "resnet18"
rule = "bp"
lr = 0.1
batch_size = 128
"""


@dataclass(frozen=True)
class Shipped:
    """Seconds of an epoch's training of the reference (CIFAR-10, ResNet-18 of width 64, batch 128, `--fast`) by rule
    and precision: step by step, and under `--compile --cuda-graphs`.
    """

    source: str
    eager: dict[tuple[str, str], float]
    compiled: dict[tuple[str, str], float]


SHIPPED = {
    "NVIDIA H100 80GB HBM3": Shipped(
        "docs/performance.md, On a GPU (commit 346d5c1)",
        {("bp", "tf32"): 3.901, ("bp", "bf16"): 3.807, ("asap", "tf32"): 7.504, ("asap", "bf16"): 7.884},
        {("bp", "tf32"): 1.744, ("bp", "bf16"): 1.329, ("asap", "tf32"): 2.012, ("asap", "bf16"): 1.393},
    )
}
"""By the name that torch has for the device; medians of 3 rounds."""


class DeviceTimes(EpochTimes):
    """`EpochTimes` on a known device; `compiled`: under `--compile --cuda-graphs`."""

    def __init__(self, device: KnownDevice, timings: Sequence[Timing], *, compiled: bool) -> None:
        super().__init__("cuda", timings, hardware=device.name)
        self._device, self._compiled = device, compiled
        self._shipped = SHIPPED.get(device.name)
        self._reference = parse(_REFERENCE, source="").cells[0]

    @property
    def source(self) -> str | None:
        """Where the shipped measurements of the device are from; None if there is none."""
        return None if self._shipped is None else self._shipped.source

    def _estimated(self, cell: Cell) -> EpochTime:
        found = super()._estimated(cell)
        if found.basis in ("measured", "scaled"):
            return found
        if self._shipped is None:
            return EpochTime(floor_seconds(cell, self._device), "floor")
        return self._from_shipped(cell, self._shipped)

    def _from_shipped(self, cell: Cell, shipped: Shipped) -> EpochTime:
        rule, precision = cell.rule.name, cell.precision
        measured = (rule, precision) in shipped.eager
        row = (rule if (rule, "tf32") in shipped.eager else "bp", precision if precision != "float32" else "tf32")
        seconds = shipped.compiled[row] * self._floor_ratio(cell, precision=row[1])
        if not self._compiled:
            seconds = max(seconds, shipped.eager[row] * _launches(cell) / _launches(self._reference))
        alike = ("dataset", "model", "batch_size", "augment", "optimizer")
        is_reference = all(getattr(cell, name) == getattr(self._reference, name) for name in alike)
        basis: Basis = "shipped" if measured and is_reference else "shipped and scaled"
        return EpochTime(seconds / self.share_of_training(cell), basis)

    def _floor_ratio(self, cell: Cell, *, precision: str) -> float:
        """The floor of the cell over that of the reference in the precision that was measured."""
        return floor_seconds(cell, self._device) / floor_seconds(self._reference, self._device, precision=precision)


def floor_seconds(cell: Cell, device: KnownDevice, *, precision: str | None = None) -> float:
    """The least seconds of an epoch's training by the device's peaks, of its arithmetic or its memory."""
    precision = precision or cell.precision
    shape, peak = dataset_shape(cell.dataset), device.peak
    steps = -(-shape.train // cell.batch_size)
    evaluation = shape.test * sum(layer.multiplications for layer in layers_for(cell.model, cell.dataset))
    operations = 2 * (training_multiplications(cell.model, cell.dataset) - evaluation)
    arithmetic = operations / peak.operations[precision]
    moved = steps * step_bytes(cell, precision=precision)
    return max(arithmetic, moved / peak.bandwidth if peak.bandwidth else 0.0)


def _launches(cell: Cell) -> int:
    """What the host does in an epoch, in layers of steps."""
    steps = -(-dataset_shape(cell.dataset).train // cell.batch_size)
    return steps * len(layers_for(cell.model, cell.dataset))
