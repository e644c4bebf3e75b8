"""Cells that dead runs left as running, and those of holders that live but no longer move, or cannot be seen from here.

A holder that has died where this process would see it is known at once. Any other, such as one in another container,
is watched on this process's own clock: a lease that does not move for `STALE_SECONDS` is taken over. Its holder, should
it wake, finds its lease gone and writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from asapbench.errors import StoreError
from asapbench.store import Attempt
from asapbench.store.store import Store

STALE_SECONDS = 60.0
_POLL_SECONDS = 0.5
_LONGEST_LOOK = 5.0
"""Seconds: a longer time between two looks was spent asleep, perhaps with the holder."""


@dataclass
class _Seen:
    lease: int
    looked: float
    still: float = 0.0


class Watch:
    """Which leases stand still. Neither the time of day nor sleep of the watcher counts."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def is_stale(self, attempt: Attempt) -> bool:
        """Whether the lease has not moved for `STALE_SECONDS` of looking; the first look only begins."""
        now = time.monotonic()
        seen = self._seen.get(attempt.id)
        if seen is None or seen.lease != attempt.lease:
            self._seen[attempt.id] = _Seen(attempt.lease, now)
            return False
        seen.still += min(now - seen.looked, _LONGEST_LOOK)
        seen.looked = now
        return seen.still >= STALE_SECONDS

    def has_moved(self, attempt: Attempt) -> bool:
        """Whether the lease is another than at the last look."""
        seen = self._seen.get(attempt.id)
        return seen is not None and seen.lease != attempt.lease


def release(
    store: Store,
    wanted: Collection[str],
    *,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    all_unseen: bool = False,
) -> None:
    """Marks what dead runs left as running. Raises StoreError where another machine is using this SQLite database now.

    There a lease of another machine (or of an earlier boot) whose cell is `wanted` is watched before anything starts.
    PostgreSQL serves several, and one machine's containers may share a SQLite file: their cells are left to them, and
    watched while the others train. `all_unseen`: those are watched now, too; StoreError where one of them lives.
    """
    freed = store.release_dead()
    running = [attempt for attempt in store.running() if attempt.cell_id in wanted]
    unseen = [attempt for attempt in running if attempt.holder.is_dead() is None]
    if not all_unseen:
        unseen = [a for a in unseen if store.path is not None and not a.holder.shares_this_kernel()]
    if unseen:
        freed += _watch(store, unseen, say=say, should_stop=should_stop)
    interrupted = sum(attempt.cell_id in wanted for attempt in freed)
    if interrupted:
        cells = "1 cell was" if interrupted == 1 else f"{interrupted} cells were"
        say(f"{cells} left by a run that has died; to go on from the last checkpoint")


def _watch(
    store: Store, unseen: list[Attempt], *, say: Callable[[str], None], should_stop: Callable[[], bool]
) -> list[Attempt]:
    ids = {attempt.id for attempt in unseen}
    say(
        f"cells are marked as running on {unseen[0].host}, by a process that cannot be seen from here: watching for "
        f"{STALE_SECONDS:.0f} s whether it lives"
    )
    watch = Watch()
    while not should_stop():
        watched = [attempt for attempt in store.running() if attempt.id in ids]
        for attempt in watched:
            if watch.has_moved(attempt):
                raise StoreError(_lives(store, attempt))
        stale = [watch.is_stale(attempt) for attempt in watched]
        if all(stale):
            return store.release_dead(stale=watch.is_stale)
        time.sleep(_POLL_SECONDS)
    return []


def _lives(store: Store, attempt: Attempt) -> str:
    if store.path is None or attempt.holder.shares_this_kernel():
        return (
            f"cell {attempt.cell_id[:10]} is running (pid {attempt.pid} on {attempt.host}): stop its run, or wait for "
            "it, and try again"
        )
    return (
        f"{store.name}: a run on {attempt.host} is using this database now, and SQLite serves one host: "
        "use PostgreSQL (--db postgresql+psycopg://...), or another database here"
    )
