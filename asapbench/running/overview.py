"""What is done, running, failed and left of recorded suites, which runs are live, and the time left. Torch-free.

The numbers come from a few queries, whatever the number of cells. The time left is that of `estimate`, as in a run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from asapbench.errors import StoreError
from asapbench.machine.slots import Slot, hardware_of
from asapbench.running.estimate import EpochTimes, makespan
from asapbench.store import Attempt, OwnerProcess
from asapbench.store.overview import CurrentAttempt, RecordedCell
from asapbench.store.records import db_option
from asapbench.store.store import Store
from asapbench.suite.cell import Cell

STATES = (
    "done", "diverged", "running", "interrupted", "failed", "out_of_memory", "pending", "outdated", "discarded"
)  # fmt: skip
"""`outdated`: trained under an earlier revision of the code, and not again since."""
_LEFT = ("interrupted", "failed", "out_of_memory", "pending", "outdated")
_PROBLEMS = 20
"""Cells with a problem that are named; the others are counted."""
_AHEAD_SECONDS = 60.0
"""How much further than its recorded epochs a cell is taken to be at most, if an epoch is shorter."""
_BETWEEN_SECONDS = 30.0
"""For how long after the end of a cell its run counts as live without another one."""


@dataclass(frozen=True)
class SuiteOverview:
    """One suite: how many of its cells are in each state, and the seconds until all have ended; None if none is left.

    `unreadable` are the labels of some of its cells whose rule, model or data set is not installed.
    """

    name: str
    states: Counter[str]
    seconds: float | None
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class LiveRun:
    """A process that trains cells now: `is_seen` if it was found here, else its lease decides, as on another host.

    `heartbeat`: seconds since its lease was last seen to advance; None before it was.
    """

    host: str
    pid: int
    kind: str
    cells: int
    is_seen: bool
    heartbeat: float | None = None


@dataclass(frozen=True)
class InTraining:
    """A cell that a live run trains: its position in epochs, and the seconds until it ends (None if unreadable)."""

    recorded: RecordedCell
    epochs: int
    position: float
    seconds: float | None


@dataclass(frozen=True)
class Overview:
    """Everything that `status` shows. `seconds` is the time until all cells have ended; None if none is left."""

    suites: tuple[SuiteOverview, ...]
    runs: tuple[LiveRun, ...]
    training: tuple[InTraining, ...]
    problems: tuple[CurrentAttempt, ...]
    further_problems: int
    seconds: float | None


@dataclass
class Heartbeats:
    """When each lease was last seen to advance, by this process's clock."""

    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[int, float | None]] = field(default_factory=dict)

    def age(self, attempt: Attempt) -> float | None:
        """Seconds since the lease of this attempt advanced; None if it was not seen to advance yet."""
        lease, at = self._seen.get(attempt.id, (attempt.lease, None))
        if lease != attempt.lease:
            at = self.clock()
        self._seen[attempt.id] = attempt.lease, at
        return None if at is None else self.clock() - at


def overview(
    store: Store,
    names: Sequence[str],
    slots: Callable[[], Sequence[Slot]],
    *,
    heartbeats: Heartbeats | None = None,
    now: Callable[[], float] = time.time,
) -> Overview:
    """The suites of these names, or all that the database knows. `slots` returns what a run would have here.

    Raises StoreError for an unknown suite, and if nothing is recorded.
    """
    chosen = _chosen(store, names)
    running = store.running_attempts(chosen)
    alive = [one for one in running if not one.attempt.owner.is_dead()]
    runs = _runs(alive, _between_cells(store, now()), heartbeats or Heartbeats())
    times = _times(store, alive, slots)
    number = max(len(alive), len(runs)) or len(slots())
    training = {one.recorded.id: _in_training(one, times, now()) for one in alive}
    suites = []
    for name in chosen:
        of_suite = running if len(chosen) == 1 else store.running_attempts([name])
        counted = _counted(store, [name], [one for one in of_suite if one.recorded.id not in training])
        here = [training[one.recorded.id] for one in of_suite if one.recorded.id in training]
        suites.append(SuiteOverview(name, counted.states, counted.seconds(here, times, number), counted.unreadable))
    if len(suites) == 1:
        whole = suites[0].seconds
    else:
        stopped = [one for one in running if one.recorded.id not in training]
        whole = _counted(store, chosen, stopped).seconds(training.values(), times, number)
    bad = sum(suite.states[state] for suite in suites for state in ("failed", "out_of_memory", "diverged"))
    problems = store.problems(chosen, limit=_PROBLEMS) if bad else []
    return Overview(tuple(suites), runs, tuple(training.values()), tuple(problems), max(bad - len(problems), 0), whole)


def _chosen(store: Store, names: Sequence[str]) -> list[str]:
    known = [suite.name for suite in store.suites()]
    if not known:
        raise StoreError(
            f"{store.name}: nothing is recorded there yet: start with `asapbench run SUITE{db_option(store.url)}`"
        )
    for name in names:
        store.require_suite(name)
    return list(dict.fromkeys(names)) or known


@dataclass
class _Counted:
    """The states of cells, and those to be trained: a cell of each kind, their number, the epochs left of each."""

    states: Counter[str] = field(default_factory=Counter)
    waiting: list[tuple[Cell, int, float]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    @property
    def unreadable(self) -> tuple[str, ...]:
        return tuple(self.labels)

    def add(self, state: str, cell: Cell, cells: int, epochs_left: float) -> None:
        self.states[state] += cells
        if state in _LEFT:
            self.waiting.append((cell, cells, epochs_left))

    def seconds(self, training: Iterable[InTraining], times: EpochTimes, slots: int) -> float | None:
        """Seconds until these and those in training have ended; None if there are none."""
        running = [one.seconds for one in training if one.seconds is not None]
        if not running and not self.waiting:
            return None
        waiting = ((times.of(cell).seconds * left, cells) for cell, cells, left in self.waiting)
        return makespan(running, (each for each, cells in waiting for _ in range(cells)), slots=slots)


def _counted(store: Store, names: Sequence[str], stopped: Sequence[CurrentAttempt]) -> _Counted:
    """The cells of these suites. `stopped` are those that a dead run left marked as running: they are interrupted."""
    found, counts = _Counted(), store.kind_counts(names)
    examples = store.recorded_cells([count.example for count in counts])
    outdated = [one.cell.id for one in examples.values() if one.cell is not None and one.is_outdated]
    renewed = store.recorded_cells(outdated)
    for count in counts:
        one = examples[count.example]
        if one.cell is None:
            found.labels.append(one.label)
        elif one.is_outdated and count.state not in ("discarded", "running"):
            # Its result is of an earlier revision. Once the cell of this revision is recorded, it counts itself.
            if one.cell.id not in renewed:
                found.add("outdated", one.cell, count.cells, count.epochs)
        else:
            found.add(count.state, one.cell, count.cells, count.epochs - count.epochs_done / count.cells)
    for attempt in stopped:
        if (cell := attempt.recorded.cell) is not None:
            found.states["running"] -= 1
            is_old = attempt.recorded.is_outdated
            left = attempt.epochs - (0 if is_old else attempt.attempt.epochs_done)
            found.add("outdated" if is_old else "interrupted", cell, 1, left)
    return found


def _in_training(one: CurrentAttempt, times: EpochTimes, now: float) -> InTraining:
    """The position moves with the clock since the start of the attempt, past the epochs that are recorded."""
    recorded, done = one.recorded, one.attempt.epochs_done
    if recorded.cell is None:
        return InTraining(recorded, one.epochs, done, None)
    seconds = times.of(recorded.cell).seconds
    passed = max(now - datetime.fromisoformat(one.attempt.started_at).timestamp(), 0.0)
    ahead = max(1.0, _AHEAD_SECONDS / seconds)  # an epoch is recorded when a checkpoint holds it
    position = min(max(one.epochs_before + passed / seconds, done), done + ahead, one.epochs)
    return InTraining(recorded, one.epochs, position, (one.epochs - position) * seconds)


def _times(store: Store, alive: Sequence[CurrentAttempt], slots: Callable[[], Sequence[Slot]]) -> EpochTimes:
    """The times on the hardware of the live run, or else of the slots here."""
    timings = store.measured_seconds_per_epoch()
    if not alive:
        slot = slots()[0]
        return EpochTimes(slot.kind, timings, hardware=hardware_of(slot))
    attempt = alive[0].attempt
    device, _, gpu = attempt.device.partition(" ")
    slot = Slot(0, device.partition("@")[0], gpu=gpu or None)
    is_here = attempt.owner.is_dead() is False and "@" not in device
    return EpochTimes(slot.kind, timings, hardware=hardware_of(slot) if is_here else None)


def _between_cells(store: Store, now: float) -> list[Attempt]:
    """Attempts that ended a moment ago and whose process lives: their run is about to start its next cell."""
    since = datetime.fromtimestamp(now - _BETWEEN_SECONDS, UTC).isoformat(timespec="milliseconds")
    return [attempt for attempt in store.ended_since(since) if attempt.owner.is_dead() is False]


def _runs(alive: Sequence[CurrentAttempt], between: Sequence[Attempt], heartbeats: Heartbeats) -> tuple[LiveRun, ...]:
    """The processes that own these attempts."""
    owned: dict[OwnerProcess, list[Attempt]] = {}
    for one in alive:
        owned.setdefault(one.attempt.owner, []).append(one.attempt)
    found = []
    for owner, held in owned.items():
        ages = [age for attempt in held if (age := heartbeats.age(attempt)) is not None]
        kind = held[0].device.partition(" ")[0].partition(":")[0].partition("@")[0]
        is_seen = owner.is_dead() is False
        found.append(LiveRun(owner.host, owner.pid, kind, len(held), is_seen, min(ages, default=None)))
    idle = {attempt.owner: attempt for attempt in between if attempt.owner not in owned}
    return (*found, *(LiveRun(owner.host, owner.pid, "", 0, True) for owner in idle))
