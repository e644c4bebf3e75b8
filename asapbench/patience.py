"""Patience with what passes: a locked database, a full disk. What failed is tried again for a while.

A program that holds a lock for a minute, or a disk that somebody clears in the night, must not end a run of days. Only
what is done whole or not at all may be tried again: a transaction, a file that is renamed into place.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from asapbench.errors import AsapbenchError, UnavailableError

PATIENCE_SECONDS = 600.0
_PAUSE_SECONDS = 0.5

R = TypeVar("R")


def passes(error: Exception) -> bool:
    """Whether the same may succeed later."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or isinstance(error, UnavailableError)


@dataclass
class Patience:
    """Tries again for `seconds` from the first failure; `say` hears of it once, `should_stop` ends it early."""

    seconds: float = 0.0
    say: Callable[[str], None] = lambda _message: None
    should_stop: Callable[[], bool] = lambda: False
    _since: float | None = None

    def call(self, action: Callable[[], R]) -> R:
        """What `action` gives back; raises what it raises once patience is over, or at once for what does not pass."""
        while True:
            try:
                result = action()
            except (OSError, AsapbenchError) as error:
                if not passes(error) or not self._allows_another(error):
                    raise
            else:
                self._succeeded()
                return result

    def _allows_another(self, error: Exception) -> bool:
        if self.should_stop() or not self.seconds:
            return False
        if self._since is None:
            self._since = time.monotonic()
            self.say(f"{error}; trying again for {self.seconds:.0f} s")
        time.sleep(_PAUSE_SECONDS)
        return time.monotonic() - self._since < self.seconds

    def _succeeded(self) -> None:
        """After giving up this does not come, and what follows fails at once."""
        if self._since is not None:
            self.say(f"it has passed after {time.monotonic() - self._since:.0f} s")
            self._since = None
