"""How fast a configuration trains, and two lower bounds of its time from the peaks of the hardware. Imports no torch.

Three loops are measured in turn, round after round: `own`, the loop of a run; `together`, several of them at once on
one device, each in its own process; `eager`, the same network under backpropagation in plain PyTorch.

- Arithmetic bound of an epoch: floating-point operations of one step's convolutions and matrix products, as torch
  counts them for the rule, times the training examples over the batch, over the device's peak at the precision.
- Bandwidth bound of an epoch: bytes that one step of backpropagation must move (see `step_bytes`), times the steps,
  over the peak bandwidth.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from asapbench.machine.known_devices import PEAKS, Peak
from asapbench.suite.catalog import OPTIMIZERS, dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.recipe import PRECISIONS
from asapbench.suite.shapes import layers_for

LoopName = Literal["own", "together", "eager"]


def peak_of(device: str, *, teraflops: float | None = None, gigabytes: float | None = None) -> Peak:
    """The peaks of the hardware named `device`, or those given: TFLOP/s at any precision, and GB/s."""
    known = PEAKS.get(device, Peak())
    operations = known.operations if teraflops is None else dict.fromkeys(PRECISIONS, teraflops * 1e12)
    return Peak(operations, known.bandwidth if gigabytes is None else gigabytes * 1e9)


@dataclass(frozen=True)
class Round:
    """One measurement: examples a second, and bytes at the peak."""

    rate: float
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Loop:
    """One loop's rounds. `operations`: FLOPs of a step by example, if known. `error`: what ended it."""

    rounds: tuple[Round, ...] = ()
    operations: float | None = None
    error: str | None = None

    @property
    def rates(self) -> list[float]:
        """Examples a second, by round."""
        return [one.rate for one in self.rounds]

    @property
    def rate(self) -> float | None:
        """The median rate."""
        return statistics.median(self.rates) if self.rounds else None

    @property
    def peak_bytes(self) -> int | None:
        """The highest of all rounds."""
        return max((one.peak_bytes for one in self.rounds if one.peak_bytes is not None), default=None)


@dataclass(frozen=True)
class Speed:
    """The measurements of one configuration. `device` is the hardware's name, `slots` how many run `together`."""

    cell: Cell
    device: str
    kind: str
    slots: int = 1
    loops: Mapping[LoopName, Loop] = field(default_factory=dict)

    def epoch_seconds(self, name: LoopName) -> float | None:
        """Seconds of an epoch's training at the median rate; `together`: of one epoch's worth of examples by all."""
        rate = self.loops[name].rate
        return None if not rate else dataset_shape(self.cell.dataset).train / rate

    def against_eager(self, name: LoopName) -> list[float]:
        """By round, how many times faster than the eager loop."""
        eager = self.loops.get("eager", Loop())
        return [a / b for a, b in zip(self.loops[name].rates, eager.rates, strict=False)]

    def precision(self, name: LoopName) -> str:
        """The precision of the arithmetic. By default torch lets convolutions use TF32 on a GPU."""
        if name == "eager":
            return "tf32" if self.kind == "cuda" else "float32"
        return self.cell.precision

    def share_of_arithmetic(self, name: LoopName, peak: Peak) -> float | None:
        """The arithmetic bound over the measured time."""
        loop, most = self.loops[name], peak.operations.get(self.precision(name))
        if most is None or loop.rate is None or loop.operations is None:
            return None
        return loop.rate * loop.operations / most

    def share_of_bandwidth(self, name: LoopName, peak: Peak) -> float | None:
        """The bandwidth bound over the measured time."""
        rate = self.loops[name].rate
        if peak.bandwidth is None or rate is None:
            return None
        moved = step_bytes(self.cell, precision=self.precision(name))
        return rate / self.cell.batch_size * moved / peak.bandwidth


@dataclass(frozen=True)
class Benched:
    """The measurements of `bench`, in order, and their conditions; `stopped` by Ctrl-C before the end."""

    speeds: tuple[Speed, ...]
    rounds: int
    threads: int
    images: str
    torch: str
    stopped: bool = False

    @property
    def failed(self) -> bool:
        """Whether a cell's own loop ended with an error."""
        return any(speed.loops["own"].error is not None for speed in self.speeds)


def step_bytes(cell: Cell, *, precision: str) -> int:
    """Bytes that one step of backpropagation moves at least, with every operation fused with its neighbours.

    - Each layer's output, 5 times: written; read to be normalised, since BatchNorm's mean and deviation are those of
      the whole batch; read again in backward; its error signal written and read. 2 bytes a number under bf16, else 4.
    - Each parameter: read in forward and backward, its gradient written, and what the optimizer reads and writes; 4
      bytes, since bf16 keeps float32 masters.
    """
    layers = layers_for(cell.model, cell.dataset)
    outputs = 5 * cell.batch_size * sum(layer.units for layer in layers)
    # The optimizer reads weight, gradient and moments, and writes weight and moments.
    update = 3 + 2 * OPTIMIZERS[cell.optimizer.name].moments
    parameters = (3 + update) * sum(layer.parameters for layer in layers)
    return (2 if precision == "bf16" else 4) * outputs + 4 * parameters
