"""How long cells take: one estimate for a run's progress, `status` and a dry run. Torch-free.

Its unit is the wall time of one epoch on one slot, with its evaluation and checkpoint. `EpochTimes` knows it by
configuration: measured, else scaled by arithmetic from what was measured. `TimeLeft` follows the cells of a plan and
adds up what is left on all slots.

The estimate is steady by four means. A configuration's time is the median of its last epochs, in which what was
measured before counts as several epochs, so that a slow first epoch does not count. In a cell's first epoch its rate is
averaged with what was expected. Between two events the position of a cell moves with the clock. The estimated end of
all cells is averaged over a twentieth of the time that is left, unless it is far off.
"""

from __future__ import annotations

import heapq
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from asapbench.machine.kinds import KINDS
from asapbench.suite.catalog import dataset_shape
from asapbench.suite.cell import Cell
from asapbench.suite.options import Choice
from asapbench.suite.shapes import layers_for

if TYPE_CHECKING:
    from asapbench.store import Timing

Basis = Literal["measured", "scaled", "arithmetic", "shipped", "shipped and scaled", "floor"]
"""Where a time comes from: this configuration on this hardware; another one there, scaled by the arithmetic of both;
or the arithmetic alone. The last three are of hardware that is not here, see `device_times`.
"""

_EPOCHS = 9
"""A time is the median of this number of epochs, or of stretches of several epochs where they are short."""
_BEFORE = 3
"""As how many epochs in that median an earlier measurement counts."""
_AVERAGED_SHARE = 0.05
"""Over which share of the time left its end is averaged."""
_FAR_OFF = 0.25
"""The share of the time left by which an estimate may differ from the one before and still be averaged with it."""
_PRIOR_EPOCHS: dict[Basis, float] = {"measured": 1.0, "scaled": 0.1, "arithmetic": 0.03}
"""How many epochs of the cell itself weigh as much as what was expected before its first epoch has ended."""
START_SECONDS = 1.0
"""From one cell's end to the next one's start on a slot, until it was seen."""
_STARTS = 9
_STRETCH_SECONDS = 1.0
"""The shortest time over which a speed is taken: events are gathered and arrive late."""


_SILENT_SECONDS = 10.0
"""For how long, or for how much of an epoch, a cell that reports nothing is taken to train."""


Pace = tuple[object, ...]
"""Everything of a cell on which the time of an epoch depends."""


def pace_of(cell: Cell) -> Pace:
    """The cell without its seed, and what only changes numbers: learning rate, schedule, number of epochs."""
    return (
        cell.dataset,
        cell.model,
        cell.rule,
        cell.optimizer,
        cell.batch_size,
        cell.validation,
        cell.augment,
        cell.precision,
        cell.test_set,
    )


@dataclass(frozen=True)
class EpochTime:
    """Wall seconds of an epoch on one slot, and where they come from."""

    seconds: float
    basis: Basis


class EpochTimes:
    """The time of an epoch of any cell, by what was measured on one kind of hardware.

    `kind` is a key of `KINDS`; `hardware` names the processor or GPU, None if it is unknown: then every measurement on
    that kind of device counts, as does one whose hardware is unknown.
    """

    def __init__(self, kind: str, timings: Sequence[Timing] = (), *, hardware: str | None = None) -> None:
        self._kind, self.hardware = KINDS[kind], hardware
        self._measured: dict[Pace, deque[float]] = {}
        self._shares: dict[Pace, float] = {}
        self._cells: dict[Choice, dict[Pace, Cell]] = {}
        self._ratios: dict[Choice, float] = {}
        self._known: dict[str, EpochTime] = {}
        for timing in timings:
            if timing.device.startswith(kind) and (hardware is None or timing.hardware in (None, hardware)):
                cell, wall = timing.config, timing.wall
                self._measured.pop(pace_of(cell), None)  # of several the last one, the newest, counts
                wall = max(wall, timing.seconds) if wall else timing.seconds / self._share_by_arithmetic(cell)
                for _ in range(_BEFORE):
                    self.measured(cell, wall, training=timing.seconds)

    @property
    def source(self) -> str | None:
        """Where measurements that are not of this database are from; None where there are none."""
        return None

    def of(self, cell: Cell) -> EpochTime:
        """The time of an epoch of this cell."""
        if (known := self._known.get(cell.group)) is None:
            known = self._known[cell.group] = self._estimated(cell)
        return known

    def _estimated(self, cell: Cell) -> EpochTime:
        if (seconds := self._measured.get(pace_of(cell))) is not None:
            return EpochTime(statistics.median(seconds), "measured")
        ratio = self._ratio(cell.model)
        return EpochTime(sum(self._nominal(cell)) * (ratio or 1.0), "scaled" if ratio else "arithmetic")

    def measured(self, cell: Cell, seconds: float, *, training: float | None = None) -> None:
        """One more epoch of this configuration took `seconds`, `training` of them without its evaluation."""
        pace = pace_of(cell)
        self._measured.setdefault(pace, deque(maxlen=_EPOCHS)).append(seconds)
        if training is not None:
            self._shares[pace] = min(training / statistics.median(self._measured[pace]), 1.0)
        self._cells.setdefault(cell.model, {})[pace] = cell
        self._ratios.pop(cell.model, None)
        self._known.clear()

    def share_of_training(self, cell: Cell) -> float:
        """The share of an epoch that is training; the rest is mostly evaluation."""
        return self._shares.get(pace_of(cell)) or self._share_by_arithmetic(cell)

    def _share_by_arithmetic(self, cell: Cell) -> float:
        training, evaluation = self._nominal(cell)
        return training / (training + evaluation)

    def _ratio(self, model: Choice) -> float | None:
        """What was measured over the arithmetic: the median of this model's configurations, else of all models."""
        if model not in self._ratios:
            models = [model] if model in self._cells else list(self._cells)
            found = [
                statistics.median(self._measured[pace]) / sum(self._nominal(cell))
                for one in models
                for pace, cell in self._cells[one].items()
            ]
            if not found:
                return None
            if model not in self._cells:
                return statistics.median(found)
            self._ratios[model] = statistics.median(found)
        return self._ratios[model]

    def _nominal(self, cell: Cell) -> tuple[float, float]:
        """Seconds of training and of evaluation by arithmetic: three products a weight in training, less the first
        layer's error, which is not passed down; one in evaluation.
        """
        shape, layers = dataset_shape(cell.dataset), layers_for(cell.model, cell.dataset)
        forward = sum(layer.multiplications for layer in layers)
        examples = max(shape.train - cell.validation, 1)
        steps = -(-examples // cell.batch_size)
        evaluated = shape.test * cell.test_set + cell.validation
        batches = -(-evaluated // self._kind.evaluated_together)
        overhead = len(layers) * self._kind.layer_seconds
        training = examples * (3 * forward - layers[0].multiplications) / self._kind.rate + steps * overhead
        return training, evaluated * forward / self._kind.rate + batches * overhead / 3


@dataclass
class _Followed:
    """One cell, with the seconds of an epoch in the plan as its `weight`, and its position in epochs.

    While it trains: `position` at time `since`; the time and position of the last mark, from which its speed is taken;
    the seconds of an epoch's `training` at its last rate. An epoch's training and its evaluation take their shares of
    the epoch, so that the position moves evenly with time.
    """

    cell: Cell
    weight: float = 0.0
    done: float = 0.0
    position: float | None = None
    since: float = 0.0
    marked: tuple[float, float] = (0.0, 0.0)
    training: float | None = None
    speeds: deque[float] = field(default_factory=lambda: deque(maxlen=_EPOCHS))

    @property
    def epochs_left(self) -> float:
        return max(self.cell.epochs - (self.done if self.position is None else self.position), 0.0)

    @property
    def work_left(self) -> float:
        return self.weight * self.epochs_left


class TimeLeft:
    """Follows the cells of a plan on `slots` slots. `cells` are those that are left, with the epochs that they have.

    `clock` returns seconds; it never goes back.
    """

    def __init__(
        self,
        times: EpochTimes,
        cells: Iterable[tuple[Cell, int]],
        *,
        slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._times, self._slots, self._clock = times, slots, clock
        self._waiting = {cell.id: _Followed(cell, times.of(cell).seconds, done) for cell, done in cells}
        self._running: dict[str, _Followed] = {}
        self._idle_since: list[float] = []
        self._starts: deque[float] = deque(maxlen=_STARTS)
        self._end = self._estimated_at = -math.inf
        self._work = self._work_left = sum(one.work_left for one in self._waiting.values())

    def began(self, cell: Cell, epochs: float) -> None:
        """The cell trains, and has `epochs` epochs."""
        now = self._clock()
        if self._idle_since:
            self._starts.append(now - self._idle_since.pop(0))
        one = self._running.pop(cell.id, None) or self._waiting.pop(cell.id, None) or _Followed(cell)
        self._running[cell.id] = one
        self._move(one, epochs)
        one.marked, one.training = (now, epochs), None
        one.speeds.clear()

    def trained(self, cell: Cell, epochs: float, *, rate: float | None = None, evaluated: bool = False) -> None:
        """The cell has trained `epochs` epochs, the last one in part, at `rate` examples a second.

        `evaluated`: the evaluation of the last one has started. A report behind an earlier one changes nothing.
        """
        if (one := self._running.get(cell.id)) is None or one.position is None:
            return
        share = self._times.share_of_training(cell)
        whole = max(int(epochs) - evaluated, 0)
        position = whole + (epochs - whole) * share
        if not (evaluated or epochs % 1):
            position = epochs
        if position <= one.position:
            return
        self._move(one, position)
        one.training = dataset_shape(cell.dataset).train / rate if rate else one.training
        elapsed, advanced = one.since - one.marked[0], position - one.marked[1]
        if advanced >= 1 and elapsed >= _STRETCH_SECONDS:
            one.speeds.append(elapsed / advanced)
            one.marked = one.since, position
            self._times.measured(cell, one.speeds[-1], training=one.training)

    def ended(self, cell: Cell, *, is_over: bool, epochs: float = 0.0) -> None:
        """The cell no longer trains. Unless it is over, it waits, with the `epochs` that a checkpoint holds."""
        is_running = cell.id in self._running
        one = self._running.pop(cell.id, None) or self._waiting.pop(cell.id, None)
        if is_running:
            self._idle_since.append(self._clock())
        if one is None:
            return
        self._move(one, cell.epochs if is_over else epochs)
        if not is_over:
            one.done, one.position = epochs, None
            self._waiting[cell.id] = one

    def of(self, cell: Cell) -> float:
        """Seconds until this cell ends, without the time that it waits."""
        one = self._running.get(cell.id) or self._waiting.get(cell.id)
        return 0.0 if one is None else self._left(one)

    def seconds(self) -> float:
        """Seconds until all cells have ended, averaged as the module says."""
        now, left = self._clock(), self._estimated()
        before, passed = self._end - now, now - self._estimated_at
        if abs(left - before) <= _FAR_OFF * left:
            left = before + (left - before) * (1 - math.exp(-passed / (_AVERAGED_SHARE * left + _STRETCH_SECONDS)))
        self._end, self._estimated_at = now + left, now
        return left

    def _estimated(self) -> float:
        """Seconds until all cells have ended: each slot takes the next cell when it is free."""
        running = [self._left(one) for one in self._running.values()]
        start = statistics.median(self._starts) if self._starts else START_SECONDS
        return makespan(running, map(self._left, self._waiting.values()), slots=self._slots, start=start)

    def fraction(self) -> float:
        """The share of the plan's work that is done, in the plan's estimates: it moves forward with the cells only."""
        return 1 - max(self._work_left, 0.0) / self._work if self._work else 1.0

    def _move(self, one: _Followed, position: float) -> None:
        self._work_left -= one.work_left
        one.position, one.since = position, self._clock()
        self._work_left += one.work_left

    def _left(self, one: _Followed) -> float:
        expected = self._times.of(one.cell)
        if one.position is None:
            return one.epochs_left * expected.seconds
        speed = self._speed(one, expected)
        passed = min(self._clock() - one.since, max(speed, _SILENT_SECONDS))
        return max(one.epochs_left * speed - passed, 0.0)

    def _speed(self, one: _Followed, expected: EpochTime) -> float:
        """Seconds of an epoch: of this attempt and of its configuration; in the first epoch by its rate, too."""
        if one.speeds:
            return statistics.median([*one.speeds, *[expected.seconds] * _BEFORE])
        if one.training is None or one.position is None:
            return expected.seconds
        weight, advanced = _PRIOR_EPOCHS[expected.basis], one.position - one.marked[1]
        shown = one.training / self._times.share_of_training(one.cell)
        return (weight * expected.seconds + advanced * shown) / (weight + advanced)


def makespan(running: Sequence[float], waiting: Iterable[float], *, slots: int, start: float = START_SECONDS) -> float:
    """Seconds until all cells have ended, each slot taking the next one of `waiting` when it is free.

    `running` and `waiting` are the seconds of each cell; `start` passes before a waiting one trains.

    >>> makespan([3.0], [10.0, 4.0, 4.0], slots=2, start=0.0)
    11.0
    """
    free = [*running, *[0.0] * (max(slots, 1) - len(running))]
    heapq.heapify(free)
    for seconds in waiting:
        heapq.heapreplace(free, free[0] + start + seconds)
    return max(free)
