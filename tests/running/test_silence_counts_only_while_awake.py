"""Silence is counted only while the runner itself is awake."""

from __future__ import annotations

import pytest

from asapbench.running.leases import AwakeClock
from asapbench.running.slot_states import SlotState


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.awake = AwakeClock(lambda: self.now)

    def advance(self, seconds: float, *, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            self.now += step
            self.awake.tick()

    def worker(self) -> SlotState:
        return SlotState(worker=None, silent_since=self.awake.now)  # type: ignore[arg-type]

    def silent(self, *workers: SlotState) -> list[bool]:
        return [state.is_silent(self.awake.now, seconds=60) for state in workers]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_worker_that_sends_nothing_for_the_limit_is_silent_and_others_are_not(clock: Clock) -> None:
    silent, active = clock.worker(), clock.worker()
    clock.advance(30)
    active.received_event(clock.awake.now)
    clock.advance(29)
    assert clock.silent(silent, active) == [False, False]
    clock.advance(2)
    assert clock.silent(silent, active) == [True, False]


def test_no_worker_is_silent_after_the_runner_was_suspended_for_a_day(clock: Clock) -> None:
    worker = clock.worker()
    clock.advance(30)
    clock.advance(86_400, step=86_400)
    assert clock.silent(worker) == [False]
    clock.advance(30)
    assert clock.silent(worker) == [True]


def test_an_idle_worker_is_never_silent(clock: Clock) -> None:
    idle = clock.worker()
    idle.silent_since = None
    idle.received_event(clock.awake.now)
    clock.advance(600)
    assert clock.silent(idle) == [False]
