"""Which workers have said nothing for too long, in time during which this process itself was awake.

A runner that was stopped or a machine that slept has heard nobody, and that is no worker's fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")

_STRIDE = 2.0
"""Seconds between two ticks that count at most; a runner that is awake ticks twice a second."""


class Watch(Generic[Key]):
    """Time stands still between ticks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._ticked, self._awake = clock, clock(), 0.0
        self._heard: dict[Key, float] = {}

    def tick(self) -> None:
        """Lets time pass."""
        now = self._clock()
        self._awake += min(now - self._ticked, _STRIDE)
        self._ticked = now

    def expect(self, key: Key) -> None:
        """From now on it is expected to say something."""
        self._heard[key] = self._awake

    def heard(self, key: Key) -> None:
        """It lives; where nothing is expected of it, that changes nothing."""
        if key in self._heard:
            self._heard[key] = self._awake

    def forget(self, key: Key) -> None:
        """Nothing is expected of it."""
        self._heard.pop(key, None)

    def silent(self, seconds: float) -> list[Key]:
        """Those that have not been heard for `seconds`."""
        return [key for key, heard in self._heard.items() if self._awake - heard >= seconds]
