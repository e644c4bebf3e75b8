"""Retries of temporary faults: a locked database, a full disk, a server that is away.

A program that holds a lock for a minute, or a disk that is full for an hour, must not end a run of days. Only an
action that happens as a whole or not at all may be retried: a transaction, a file that is renamed into place.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from asapbench.errors import AsapbenchError, UnavailableError

RETRY_SECONDS = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a retry; doubled each time."""

R = TypeVar("R")


def is_transient(error: Exception) -> bool:
    """Whether the same action may succeed later."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or isinstance(error, UnavailableError)


@dataclass
class RetryPolicy:
    """Retries for `seconds` from the first failure. `say` gets one message about it; `should_stop` ends it early."""

    seconds: float = 0.0
    say: Callable[[str], None] = lambda _message: None
    should_stop: Callable[[], bool] = lambda: False
    _since: float | None = None
    _pause: float = _FIRST_PAUSE

    def call(self, action: Callable[[], R]) -> R:
        """The result of `action`. Raises its error after `seconds`, or at once if the error is not temporary."""
        while True:
            try:
                result = action()
            except (OSError, AsapbenchError) as error:
                if not is_transient(error) or not self._allows_another(error):
                    raise
            else:
                # Not reached after giving up: what follows fails at once.
                self._since, self._pause = None, _FIRST_PAUSE
                return result

    def _allows_another(self, error: Exception) -> bool:
        now = time.monotonic()
        if self._since is not None and now - self._since >= self.seconds:
            return False
        if self.should_stop() or not self.seconds:
            return False
        if self._since is None:
            self._since = now
            self.say(f"{error}: waiting for it, {self.seconds:.0f} s at most")
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True
