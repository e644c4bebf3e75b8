"""A lease is stale when a watcher that was awake has seen it stand still for long enough."""

from __future__ import annotations

from types import SimpleNamespace

from asapbench.scheduling import leases


class Looking:
    """A watcher of one attempt, and its clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.watch = leases.LeaseWatch(lambda: self.now)

    def finds(self, *, lease: int, seconds: float, every: float = 3.0) -> list[bool]:
        """Whether the lease is stale, at each of the looks in so many seconds."""
        found = []
        for _ in range(round(seconds / every)):
            self.now += every
            found.append("a" in self.watch.stale([SimpleNamespace(id="a", lease=lease)]))
        return found


def test_a_lease_that_stands_still_is_stale_after_a_minute_of_looking() -> None:
    assert Looking().finds(lease=1, seconds=66) == [False] * 20 + [True, True]


def test_a_lease_that_moves_is_never_stale() -> None:
    looking = Looking()
    assert not any(found for lease in range(10) for found in looking.finds(lease=lease, seconds=57))


def test_a_watcher_that_slept_takes_nothing_over() -> None:
    assert Looking().finds(lease=1, seconds=36_000, every=3600.0) == [False] * 10


def test_a_lease_moved_or_not_is_told_since_the_last_look() -> None:
    looking = Looking()
    assert not looking.watch.has_moved(SimpleNamespace(id="a", lease=1))
    looking.finds(lease=1, seconds=3)
    assert not looking.watch.has_moved(SimpleNamespace(id="a", lease=1))
    assert looking.watch.has_moved(SimpleNamespace(id="a", lease=2))
