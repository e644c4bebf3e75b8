"""Which cells may train beside each other on one device.

Two things decide. A cell that has run out of memory is tried beside fewer others, at last alone. And under
`--slots auto` cells start while what all of them need together fits into the memory that was free at the start of the
run: the peak measured for a configuration, else an estimate from its shapes until its first epoch has told.

Cells that may not start wait; none that runs is ever ended for another's sake. On an empty device every cell may
start: what does not fit alone must be seen not to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from asapbench.suite.cell import Cell
from asapbench.suite.shapes import training_bytes
from asapbench.training import EVALUATED_TOGETHER

SHARE = 0.9
"""How much of the free memory the cells may take: other programs need some, and peaks vary from run to run."""
_BESIDE = {"cuda": (1.2, 700_000_000)}
"""By kind of device, what a worker takes beyond its peak: allocators hold more than they give, and a CUDA context has
its own (0.5 GB is usual). On a CPU the peak is what is resident of the whole process: pages of libraries and images
that workers share (0.45 GB with CIFAR-10) count for each of them, so fewer cells may start than have room.
"""
_PROCESS = {"cpu": 1_000_000_000}
"""What a worker process takes of its device before it trains, with torch and all that a data set needs: 0.76 GB are
resident with CIFAR-10, 0.31 GB of it not shared (docs/performance.md, "Memory of a worker"). On a GPU it takes the
context alone.
"""


class Admission:
    """`free`: the bytes free on each device that has a limit; a device that is not there has none.

    `kind` is the kind of all devices, as in `cuda`; `peaks` are measured ones by group (a configuration without its
    seed), in bytes.
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
        fewest = min((self._neighbours.get(one.group, len(running)) for one in together), default=len(running))
        return len(running) <= fewest and self._fits(device, together)

    def limit(self, cell: Cell, neighbours: int) -> None:
        """From now on cells of this configuration have at most so many neighbours."""
        self._neighbours[cell.group] = min(neighbours, self._neighbours.get(cell.group, neighbours))

    def measured(self, cell: Cell, peak: int | None) -> None:
        """An epoch of this cell took `peak` bytes at most; None where the device does not tell."""
        if peak is not None:
            self._peaks[cell.group] = max(peak, self._peaks.get(cell.group, 0))

    def needs(self, cell: Cell) -> int:
        """Bytes that its worker takes at most, as far as is known."""
        factor, beside = _BESIDE.get(self._kind, (1.0, 0))
        return round(factor * (self._peaks.get(cell.group) or self._estimate(cell))) + beside

    def _estimate(self, cell: Cell) -> int:
        return _PROCESS.get(self._kind, 0) + training_bytes(cell, evaluated=EVALUATED_TOGETHER[self._kind])

    def _fits(self, device: str, cells: Iterable[Cell]) -> bool:
        free = self._free.get(device)
        return free is None or sum(map(self.needs, cells)) <= SHARE * free
