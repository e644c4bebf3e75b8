"""Which cells may train beside each other on one device.

Two rules decide. A cell that ran out of memory is retried beside fewer others, at last alone. With `--slots auto`,
cells start while their memory together fits into what was free at the start of the run: the measured peak of a
configuration, or an estimate from its shapes until its first epoch is measured.

Cells that may not start wait; a running cell is never ended for another. On an empty device every cell may start:
a cell that does not fit alone must fail and be recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asapbench.machine.kinds import KINDS
from asapbench.suite.cell import Cell
from asapbench.suite.shapes import training_bytes

SHARE = 0.9
"""How much of the free memory the cells may take: the rest is for other programs and for peaks that vary."""
_BESIDE = {"cuda": (1.2, 700_000_000)}
"""By kind of device, a factor and the bytes that a worker takes beyond its peak: allocators reserve more than is used,
and a CUDA context takes about 0.5 GB. On a CPU the peak is the resident size of the whole process: pages of libraries
and images that workers share (0.45 GB with CIFAR-10) count for each of them, so fewer cells start than would fit.
"""
_PROCESS = {"cpu": 1_000_000_000}
"""Bytes that a worker takes of its device before it trains, with torch and a data set: 0.76 GB are resident with
CIFAR-10, 0.31 GB of it not shared (docs/performance.md, "Memory of a worker"). On a GPU it takes only the context.
"""


class Admission:
    """`free`: the free bytes of each device; a device without an entry has no limit.

    `kind` is the kind of all devices, as in `cuda`; `peaks` are measured peaks in bytes, by group (a configuration
    without its seed).
    """

    def __init__(
        self, free: Mapping[str, int] | None = None, *, kind: str = "cpu", peaks: Mapping[str, int] | None = None
    ) -> None:
        self._free, self._kind, self._peaks = dict(free or {}), kind, dict(peaks or {})
        self._neighbours: dict[str, int] = {}

    def may_start(self, cell: Cell, device: str, running: Sequence[Cell]) -> bool:
        """Whether `cell` may start on `device` beside those that are `running` there."""
        if not running:
            return True
        together = [cell, *running]
        if any(len(running) > self._neighbours.get(one.group, len(running)) for one in together):
            return False
        free = self._free.get(device)
        return free is None or sum(map(self.needs, together)) <= SHARE * free

    def limit(self, cell: Cell, neighbours: int) -> None:
        """Let cells of this configuration have at most `neighbours` neighbours from now on."""
        self._neighbours[cell.group] = min(neighbours, self._neighbours.get(cell.group, neighbours))

    def measured(self, cell: Cell, peak: int | None) -> None:
        """Note that an epoch of this cell took at most `peak` bytes; None if the device does not report it."""
        if peak is not None:
            self._peaks[cell.group] = max(peak, self._peaks.get(cell.group, 0))

    def needs(self, cell: Cell) -> int:
        """Bytes that its worker takes at most, by what is known so far."""
        factor, beside = _BESIDE.get(self._kind, (1.0, 0))
        peak = self._peaks.get(cell.group)
        if not peak:
            evaluated = KINDS[self._kind].evaluated_together
            peak = _PROCESS.get(self._kind, 0) + training_bytes(cell, evaluated=evaluated)
        return round(factor * peak) + beside
