"""A lease is stale when a watcher that was awake has seen it stand still for long enough."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from asapbench.running import leases


class Looking:
    """A watcher of one attempt, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.watch = leases.LeaseMonitor()

    def finds(self, *, lease: int, seconds: float, every: float = 3.0) -> list[bool]:
        """Whether the lease is stale, at each of the looks in so many seconds."""
        found = []
        for _ in range(round(seconds / every)):
            self.now += every
            found.append(self.watch.is_stale(SimpleNamespace(id="a", lease=lease)))
        return found


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Looking:
    return Looking(monkeypatch)


def test_a_lease_that_stands_still_is_stale_after_a_minute_of_looking(looking: Looking) -> None:
    assert looking.finds(lease=1, seconds=66) == [False] * 20 + [True, True]


def test_a_lease_that_moves_is_never_stale(looking: Looking) -> None:
    assert not any(found for lease in range(10) for found in looking.finds(lease=lease, seconds=57))


def test_a_watcher_that_slept_takes_nothing_over(looking: Looking) -> None:
    assert looking.finds(lease=1, seconds=36_000, every=3600.0) == [False] * 10


def test_an_advance_is_detected_since_the_last_look(looking: Looking) -> None:
    assert not looking.watch.has_advanced(SimpleNamespace(id="a", lease=1))
    looking.finds(lease=1, seconds=3)
    assert not looking.watch.has_advanced(SimpleNamespace(id="a", lease=1))
    assert looking.watch.has_advanced(SimpleNamespace(id="a", lease=2))
