"""Cells that dead runs left as running, and those of other hosts, whose processes cannot be seen from here."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from asapbench.errors import StoreError
from asapbench.store import Attempt
from asapbench.store.store import Store

_STALE_SECONDS = 60.0
_POLL_SECONDS = 0.5


def release(
    store: Store, wanted: Collection[str], *, say: Callable[[str], None], should_stop: Callable[[], bool]
) -> None:
    """Marks what dead runs left as running. Raises StoreError where another host is using this database now.

    A lease of another host whose cell is `wanted` is watched on this process's own clock and taken over if it does
    not move.
    """
    freed = store.release_dead()
    foreign = [a for a in store.running() if a.cell_id in wanted and a.holder.is_dead() is None]
    if foreign:
        freed += _watch(store, foreign, say=say, should_stop=should_stop)
    interrupted = sum(attempt.cell_id in wanted for attempt in freed)
    if interrupted:
        cells = "1 cell was" if interrupted == 1 else f"{interrupted} cells were"
        say(f"{cells} left by a run that has died; to go on from the last checkpoint")


def _watch(
    store: Store, foreign: list[Attempt], *, say: Callable[[str], None], should_stop: Callable[[], bool]
) -> list[Attempt]:
    host = foreign[0].host
    say(f"cells are marked as running on {host}: watching for {_STALE_SECONDS:.0f} s whether it lives")
    seen = {attempt.id: attempt.lease for attempt in foreign}
    deadline = time.monotonic() + _STALE_SECONDS
    while time.monotonic() < deadline:
        if should_stop():
            return []
        time.sleep(_POLL_SECONDS)
        if any(seen.get(attempt.id, attempt.lease) != attempt.lease for attempt in store.running()):
            raise StoreError(
                f"{store.name}: a run on {host} is using this database now, and SQLite serves one host: "
                "use PostgreSQL (--db postgresql+psycopg://...), or another database here"
            )
    return store.release_dead(stale=lambda attempt: attempt.id in seen)
