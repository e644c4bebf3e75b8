"""A clock that counts only the time during which this process was awake.

The runner measures how long a worker has been silent with it. A runner that was suspended, or a machine that slept,
receives no events, and that time must not count towards `--hang-after`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_STEP = 2.0
"""Seconds that one tick adds at most; a runner that is awake ticks twice a second."""


class AwakeClock:
    """`now` advances only in `tick`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._ticked, self.now = clock, clock(), 0.0

    def tick(self) -> None:
        """Advance by the time since the last tick, by two seconds at most."""
        now = self._clock()
        self.now += min(now - self._ticked, _LONGEST_STEP)
        self._ticked = now
