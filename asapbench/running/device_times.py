"""The time of an epoch on a GPU that is not here, for `--dry-run --device NAME`. Torch-free.

What the database has of that hardware counts first. Else the shipped measurements of one network count, scaled to the
cell: a step that waits for the host by its number of layers, one that does not by its floor, the least time that the
device's peaks allow. Without a measurement of the device there is only that floor, and it is called so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asapbench.analysis.speed import step_bytes
from asapbench.machine.known_devices import KnownDevice
from asapbench.running.estimate import Basis, EpochTime, EpochTimes
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse
from asapbench.suite.shapes import layers_for, training_multiplications
from asapbench.training.settings import TrainingSettings

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
    and precision: step by step, under graphs, and under graphs with `--compile`.
    """

    source: str
    eager: dict[tuple[str, str], float]
    graphs: dict[tuple[str, str], float]
    compiled: dict[tuple[str, str], float]

    def without_host(self, *, compiled: bool) -> dict[tuple[str, str], float]:
        """The seconds of steps that do not wait for the host.

        bf16 was not measured under graphs alone: it is taken to save what it saves BP with compiled kernels.
        """
        if compiled:
            return self.compiled
        saving = self.compiled["bp", "bf16"] / self.compiled["bp", "tf32"]
        return {(rule, "bf16"): seconds * saving for (rule, _), seconds in self.graphs.items()} | self.graphs


SHIPPED = {
    "NVIDIA H100 80GB HBM3": Shipped(
        "docs/performance.md, On a GPU (commits 346d5c1 and, under graphs alone, e41faac)",
        {("bp", "tf32"): 3.901, ("bp", "bf16"): 3.807, ("asap", "tf32"): 7.504, ("asap", "bf16"): 7.884},
        {("bp", "tf32"): 1.93, ("dfa", "tf32"): 1.64, ("asap", "tf32"): 1.93},
        {("bp", "tf32"): 1.744, ("bp", "bf16"): 1.329, ("asap", "tf32"): 2.012, ("asap", "bf16"): 1.393},
    )
}
"""By the name that torch has for the device; medians of 3 rounds, of ASAP under graphs alone one round."""


class DeviceTimes(EpochTimes):
    """`EpochTimes` of cells that are trained in this way on a known device."""

    def __init__(self, device: KnownDevice, timings: Sequence[Timing], *, training: TrainingSettings) -> None:
        super().__init__("cuda", timings, hardware=device.name)
        self._device, self._training = device, training
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
        compiled, graphs = self._training.compiled, self._training.uses_graphs(cell, "cuda")
        without_host = shipped.without_host(compiled=compiled)
        row = _row(without_host, cell)
        seconds = without_host[row] * self._floor_ratio(cell, precision=row[1])
        if not graphs:
            launching = shipped.eager[_row(shipped.eager, cell)] * _launches(cell) / _launches(self._reference)
            seconds = max(seconds, launching)
        ways = {(False, False): shipped.eager, (False, True): shipped.graphs, (True, True): shipped.compiled}
        is_measured = (cell.rule.name, cell.precision) in ways.get((compiled, graphs), {})
        alike = ("dataset", "model", "batch_size", "augment", "optimizer")
        is_reference = all(getattr(cell, name) == getattr(self._reference, name) for name in alike)
        basis: Basis = "shipped" if is_measured and is_reference else "shipped and scaled"
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


def _row(seconds: Mapping[tuple[str, str], float], cell: Cell) -> tuple[str, str]:
    """Rule and precision of the row that stands for the cell."""
    rule = cell.rule.name if (cell.rule.name, "tf32") in seconds else "bp"
    return rule, cell.precision if (rule, cell.precision) in seconds else "tf32"


def _launches(cell: Cell) -> int:
    """What the host does in an epoch, in layers of steps."""
    steps = -(-dataset_shape(cell.dataset).train // cell.batch_size)
    return steps * len(layers_for(cell.model, cell.dataset))
