"""A lease is stale when a watcher that was awake has seen it stand still for long enough."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from asapbench.scheduling import leases


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def looks(self, watch: leases.Watch, *, lease: int, seconds: float, every: float = 3.0) -> list[bool]:
        """What the watcher finds, looking every so often."""
        found = []
        for _ in range(round(seconds / every)):
            self.now += every
            found.append(watch.is_stale(SimpleNamespace(id="a", lease=lease)))
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_lease_that_stands_still_is_stale_after_a_minute_of_looking(clock: Clock) -> None:
    assert clock.looks(leases.Watch(), lease=1, seconds=66) == [False] * 20 + [True, True]


def test_a_lease_that_moves_is_never_stale(clock: Clock) -> None:
    watch = leases.Watch()
    assert not any(found for lease in range(10) for found in clock.looks(watch, lease=lease, seconds=57))


def test_a_watcher_that_slept_takes_nothing_over(clock: Clock) -> None:
    watch = leases.Watch()
    assert clock.looks(watch, lease=1, seconds=36_000, every=3600.0) == [False] * 10


def test_a_lease_moved_or_not_is_told_since_the_last_look(clock: Clock) -> None:
    watch = leases.Watch()
    assert not watch.has_moved(SimpleNamespace(id="a", lease=1))
    clock.looks(watch, lease=1, seconds=3)
    assert not watch.has_moved(SimpleNamespace(id="a", lease=1))
    assert watch.has_moved(SimpleNamespace(id="a", lease=2))
