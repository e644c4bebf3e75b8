"""Silence is counted only while the runner itself is awake."""

from __future__ import annotations

import pytest

from asapbench.running.liveness import Watch


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pass_time(watch: Watch[str], clock: Clock, seconds: float, *, step: float = 0.5) -> None:
    for _ in range(round(seconds / step)):
        clock.now += step
        watch.tick()


def test_a_worker_that_says_nothing_for_the_limit_is_silent_and_others_are_not(clock) -> None:
    watch: Watch[str] = Watch(clock)
    watch.expect("mute")
    watch.expect("talks")
    pass_time(watch, clock, 30)
    watch.heard("talks")
    pass_time(watch, clock, 29)
    assert watch.silent(60) == []
    pass_time(watch, clock, 2)
    assert watch.silent(60) == ["mute"]


def test_a_runner_that_was_stopped_for_a_day_finds_nobody_silent(clock) -> None:
    watch: Watch[str] = Watch(clock)
    watch.expect("worker")
    pass_time(watch, clock, 30)
    clock.now += 86_400
    watch.tick()
    assert watch.silent(60) == []
    pass_time(watch, clock, 30)
    assert watch.silent(60) == ["worker"]


def test_nothing_is_expected_of_a_worker_that_is_idle_or_gone(clock) -> None:
    watch: Watch[str] = Watch(clock)
    watch.expect("idle")
    watch.forget("idle")
    watch.heard("idle")
    watch.forget("never heard of")
    pass_time(watch, clock, 600)
    assert watch.silent(60) == []
