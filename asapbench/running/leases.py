"""Cells that dead runs left in the state `running`, and how a run takes them over.

An owner process on this host that has died is detected at once. The lease of any other owner, as in another container,
is watched on this process's own clock: if it does not advance for `STALE_SECONDS`, this run takes the cell over. An
owner that wakes later finds its lease gone and writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from asapbench.errors import StoreError
from asapbench.store import Attempt
from asapbench.store.store import Store

STALE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_LONGEST_STEP = 5.0
"""Seconds: during a longer time between two looks this machine slept, perhaps with the owner."""


class AwakeClock:
    """A clock of the time during which this process was awake: `now` advances only in `tick`.

    The runner measures with it how long a worker has been silent. A process that was suspended, or whose machine slept,
    receives nothing, and that time must not count. `longest_step`: seconds that one tick adds at most.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, longest_step: float = 2.0) -> None:
        self._clock, self._ticked, self._longest_step, self.now = clock, clock(), longest_step, 0.0

    def tick(self) -> None:
        """Advance by the time since the last tick."""
        now = self._clock()
        self.now += min(now - self._ticked, self._longest_step)
        self._ticked = now


class LeaseMonitor:
    """Detects leases that no longer advance. Neither the time of day nor sleep of this machine counts."""

    def __init__(self) -> None:
        self._clock = AwakeClock(time.monotonic, longest_step=_LONGEST_STEP)
        self._seen: dict[str, tuple[int, float]] = {}
        """By attempt: its lease, and when that was first seen."""

    def is_stale(self, attempt: Attempt) -> bool:
        """Whether the lease has not advanced for `STALE_SECONDS`; the first look only notes it."""
        self._clock.tick()
        lease, since = self._seen.get(attempt.id, (None, 0.0))
        if lease != attempt.lease:
            self._seen[attempt.id] = attempt.lease, self._clock.now
            return False
        return self._clock.now - since >= STALE_SECONDS

    def has_advanced(self, attempt: Attempt) -> bool:
        """Whether the lease has advanced since the last look."""
        return attempt.id in self._seen and self._seen[attempt.id][0] != attempt.lease


def release(
    store: Store,
    wanted: Collection[str],
    *,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    all_unseen: bool = False,
) -> None:
    """Mark what dead runs left running as interrupted. Raises StoreError if another host is using this SQLite database.

    With SQLite, leases of another host (or of an earlier boot) on `wanted` cells are watched before anything starts.
    PostgreSQL serves several hosts, and containers of one host may share a SQLite file: their cells are left to them
    and watched while the others train. `all_unseen`: watch those now, too, and raise StoreError if one is alive.
    """
    freed = store.release_dead()
    running = [attempt for attempt in store.running() if attempt.cell_id in wanted]
    unseen = [attempt for attempt in running if attempt.owner.is_dead() is None]
    if not all_unseen:
        unseen = [a for a in unseen if store.path is not None and not a.owner.shares_this_kernel()]
    if unseen:
        freed += _watch(store, unseen, say=say, should_stop=should_stop)
    interrupted = sum(attempt.cell_id in wanted for attempt in freed)
    if interrupted:
        cells = "1 cell was" if interrupted == 1 else f"{interrupted} cells were"
        say(f"{cells} left by a run that has died; resuming from the last checkpoint")


def _watch(
    store: Store, unseen: list[Attempt], *, say: Callable[[str], None], should_stop: Callable[[], bool]
) -> list[Attempt]:
    ids = {attempt.id for attempt in unseen}
    say(
        f"cells are marked as running on {unseen[0].host}, by a process that cannot be seen from here: waiting "
        f"{STALE_SECONDS:.0f} s for a sign of life"
    )
    monitor = LeaseMonitor()
    while not should_stop():
        watched = [attempt for attempt in store.running() if attempt.id in ids]
        for attempt in watched:
            if monitor.has_advanced(attempt):
                raise StoreError(_in_use(store, attempt))
        stale = [monitor.is_stale(attempt) for attempt in watched]
        if all(stale):
            return store.release_dead(stale=monitor.is_stale)
        time.sleep(_POLL_SECONDS)
    return []


def _in_use(store: Store, attempt: Attempt) -> str:
    if store.path is None or attempt.owner.shares_this_kernel():
        return (
            f"cell {attempt.cell_id[:10]} is running (pid {attempt.pid} on {attempt.host}): stop its run or wait for "
            "it, and retry"
        )
    return (
        f"{store.name}: a run on {attempt.host} is using this database now, and SQLite serves one host: "
        "use PostgreSQL (--db postgresql+psycopg://...), or another database here"
    )
