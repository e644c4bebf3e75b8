"""Which workers have said nothing for too long, in time during which this process itself was awake.

A runner that was stopped or a machine that slept has heard nobody, and that is no worker's fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Watch(Generic[Key]):
    """Time stands still between ticks. `stride`: how many seconds between two of them count at most; one who is awake
    ticks more often.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, stride: float = 2.0) -> None:
        self._clock, self._stride, self._ticked, self._awake = clock, stride, clock(), 0.0
        self._heard: dict[Key, float] = {}

    def tick(self) -> None:
        """Lets time pass."""
        now = self._clock()
        self._awake += min(now - self._ticked, self._stride)
        self._ticked = now

    def heard(self, key: Key) -> None:
        """It lives."""
        self._heard[key] = self._awake

    def forget(self, key: Key) -> None:
        """Nothing is expected of it."""
        self._heard.pop(key, None)

    def silent(self, seconds: float) -> list[Key]:
        """Those that have not been heard for `seconds`."""
        return [key for key, heard in self._heard.items() if self._awake - heard >= seconds]
