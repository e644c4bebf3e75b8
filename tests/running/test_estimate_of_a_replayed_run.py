"""The time left of a run whose end is known: how far off it is, how it moves, and that `status` agrees with it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from asapbench.machine.slots import Slot
from asapbench.running.estimate import EpochTimes, TimeLeft
from asapbench.running.overview import overview
from asapbench.running.plan import make_plan
from asapbench.store import Attempt, OwnerProcess, Timing
from asapbench.store.overview import CurrentAttempt, KindCount, RecordedCell
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

GROUPS = {cell.group: cell for cell in load("quickstart").cells}
CELLS = [replace(cell, epochs=20).with_seed(seed) for seed in range(3) for cell in list(GROUPS.values())[:4]]
SLOTS = 2
STEP = 0.5


@dataclass
class Truth:
    """What a cell really takes: seconds of training and evaluation of each epoch."""

    training: list[float]
    evaluation: list[float]

    @property
    def seconds(self) -> float:
        return sum(self.training) + sum(self.evaluation)


def truths(evaluation: float) -> dict[str, Truth]:
    """Thirty to ninety times as slow as the arithmetic, by the rule; the first epoch slower, all with noise."""
    draw, found = random.Random(0), {}
    times = EpochTimes("cpu")
    slowness = dict(zip(dict.fromkeys(cell.group for cell in CELLS), (40.0, 55.0, 30.0, 90.0), strict=True))
    for cell in CELLS:
        epoch = times.of(cell).seconds * slowness[cell.group]
        noise = [draw.uniform(0.9, 1.1) * (1.3 if n == 0 else 1.0) for n in range(cell.epochs)]
        found[cell.id] = Truth([epoch * one for one in noise], [evaluation * epoch] * cell.epochs)
    return found


@dataclass
class Seen:
    """At each time: the true seconds left, and the estimate. At some of them what `status` says, beside it."""

    at: list[float]
    left: list[float]
    estimates: list[float]
    status: list[tuple[float, float]] = field(default_factory=list)

    def errors(self, *, after: float) -> list[float]:
        """Relative to the whole run, from this share of it on."""
        end = self.at[-1]
        return [
            abs(estimate - left) / end
            for at, left, estimate in zip(self.at, self.left, self.estimates, strict=True)
            if at >= after * end
        ]

    def rises(self, *, after: float) -> float:
        """The sum of all steps by which the estimate grows, over the length of the run."""
        end = self.at[-1]
        pairs = [
            (a, b) for at, a, b in zip(self.at, self.estimates, self.estimates[1:], strict=False) if at >= after * end
        ]
        return sum(max(b - a, 0.0) for a, b in pairs) / end


class RecordedRun:
    """What the database has of the run at a time, as far as `overview` asks for it."""

    def __init__(
        self,
        timings: list[Timing],
        truth: dict[str, Truth],
        running: dict[int, tuple[Cell, float]],
        waiting: list[Cell],
        finished: set[str],
        now: float,
    ) -> None:
        self._timings, self._truth, self._running, self._waiting = timings, truth, running, waiting
        self._finished, self._now = finished, now

    def suites(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="replayed")]

    def require_suite(self, _name: str) -> None:
        """It is known."""

    def measured_seconds_per_epoch(self) -> list[Timing]:
        return self._timings

    def ended_since(self, _time: str) -> list[Attempt]:
        return []

    def problems(self, _suites: list[str], *, limit: int) -> list[CurrentAttempt]:
        return []

    def running_attempts(self, _suites: list[str]) -> list[CurrentAttempt]:
        return [self._current(cell, started) for cell, started in self._running.values()]

    def kind_counts(self, _suites: list[str]) -> list[KindCount]:
        counts = [KindCount(cell.id, "pending", cell.epochs, 1, 0) for cell in self._waiting]
        counts += [KindCount(cell_id, "done", 20, 1, 20) for cell_id in self._finished]
        return counts + [KindCount(cell.id, "running", 20, 1, 0) for cell, _ in self._running.values()]

    def recorded_cells(self, ids: list[str]) -> dict[str, RecordedCell]:
        return {cell.id: RecordedCell(cell.id, cell.label, cell) for cell in CELLS if cell.id in ids}

    def _current(self, cell: Cell, started: float) -> CurrentAttempt:
        """Of a cell in training, with the epochs that have ended."""
        truth, passed, done = self._truth[cell.id], self._now - started, 0
        for training, evaluation in zip(truth.training, truth.evaluation, strict=True):
            passed -= training + evaluation
            done += passed > 0
        at = datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds")
        attempt = SimpleNamespace(
            id=cell.id, owner=OwnerProcess.of_this_process(), device="cpu", started_at=at, epochs_done=done, lease=0
        )
        return CurrentAttempt(RecordedCell(cell.id, cell.label, cell), cell.epochs, 0, cast("Attempt", attempt))


def replay(timings: list[Timing], *, evaluation: float) -> Seen:
    """A run of `CELLS` on two slots by a simulated clock, with the events that a run's view gets."""
    truth, now = truths(evaluation), [0.0]
    left = TimeLeft(EpochTimes("cpu", timings), [(cell, 0) for cell in CELLS], slots=SLOTS, clock=lambda: now[0])
    waiting, running = list(CELLS), dict[int, tuple[Cell, float]]()
    free_at = [0.0, 0.0]
    seen, finished = Seen([], [], []), set[str]()
    while waiting or running:
        for slot in range(SLOTS):
            if slot not in running and waiting and now[0] >= free_at[slot] + 1.0:
                running[slot] = (waiting.pop(0), now[0])
                left.began(running[slot][0], 0)
        for slot, (cell, started) in list(running.items()):
            report(left, cell, truth[cell.id], now[0] - started)
            if now[0] - started >= truth[cell.id].seconds:
                left.ended(cell, is_over=True)
                finished.add(cell.id)
                free_at[slot] = now[0]
                del running[slot]
        seen.at.append(now[0])
        seen.estimates.append(left.seconds())
        if now[0] % 100 == 0:
            store = RecordedRun(timings, truth, running, waiting, finished, now[0])
            found = overview(store, ["replayed"], lambda: [Slot(n, "cpu") for n in range(SLOTS)], now=lambda: now[0])
            seen.status.append((found.seconds or 0.0, seen.estimates[-1]))
        now[0] += STEP
    seen.left = [seen.at[-1] - at for at in seen.at]
    return seen


def report(left: TimeLeft, cell: Cell, truth: Truth, passed: float) -> None:
    """The newest event of a cell that has trained for `passed` seconds."""
    for epoch in range(cell.epochs):
        training, evaluation = truth.training[epoch], truth.evaluation[epoch]
        rate = 1438 / training
        if passed < training:
            left.trained(cell, epoch + passed / training, rate=rate)
            return
        if passed < training + evaluation:
            left.trained(cell, epoch + 1, rate=rate, evaluated=True)
            return
        passed -= training + evaluation
    left.trained(cell, cell.epochs)


@pytest.mark.parametrize("evaluation", [0.05, 0.35])
def test_without_a_measurement_the_estimate_is_right_after_a_quarter_of_the_run(evaluation: float) -> None:
    seen = replay([], evaluation=evaluation)
    assert max(seen.errors(after=0.1)) < 0.3
    assert max(seen.errors(after=0.25)) < 0.07
    assert seen.rises(after=0.25) < 0.02


@pytest.mark.parametrize("evaluation", [0.05, 0.35])
def test_of_measured_configurations_the_estimate_is_right_and_steady_from_the_start(evaluation: float) -> None:
    seen = replay(measured(evaluation), evaluation=evaluation)
    assert max(seen.errors(after=0.0)) < 0.03
    assert seen.rises(after=0.0) < 0.02


def test_status_says_what_the_run_says() -> None:
    seen = replay(measured(0.35), evaluation=0.35)
    assert len(seen.status) > 50
    assert max(abs(status - run) for status, run in seen.status) < 0.03 * seen.at[-1]


def test_the_plan_says_what_the_run_says_first() -> None:
    timings, slots = measured(0.35), [Slot(n, "cpu") for n in range(SLOTS)]
    plan = make_plan(CELLS, {}, timings, slots)
    assert plan.seconds == pytest.approx(replay(timings, evaluation=0.35).estimates[0], rel=0.01)


def measured(evaluation: float) -> list[Timing]:
    """What the database has after an earlier run of all cells."""
    truth = truths(evaluation)
    return [Timing(cell, "cpu", sum(truth[cell.id].training) / 20, None, truth[cell.id].seconds / 20) for cell in CELLS]
