"""Who holds an attempt: one process of one boot of one host, told apart from any later process with its number."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SAME_START = 0.5
"""Seconds: two processes with one number and starts closer than this are the same process."""


@dataclass(frozen=True)
class Holder:
    """A process. `pid_started` is in seconds on a clock that the host's time of day does not move."""

    host: str
    boot_id: str
    pid: int
    pid_started: float

    @classmethod
    def of_this_process(cls) -> Holder:
        """The calling process."""
        pid = os.getpid()
        return cls(platform.node(), _boot_id(), pid, _started(pid) or 0.0)

    def is_dead(self) -> bool | None:
        """Whether the process has ended: a certain yes or no on its own host, None when seen from another."""
        if self.host != platform.node():
            return None
        if self.boot_id != _boot_id():
            return True
        started = _started(self.pid)
        return started is None or abs(started - self.pid_started) > _SAME_START


@cache
def _boot_id() -> str:
    """Changes with every boot; empty where the system does not tell (there, number and start time must do)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> float | None:
    """When process `pid` started; None when it is gone, or dead and only not yet reaped."""
    return _started_linux(pid) if sys.platform == "linux" else _started_elsewhere(pid)


def _started_linux(pid: int) -> float | None:
    # psutil adds the time of boot, which the kernel derives from the time of day: a stepped clock would make a
    # living process look like another one. Ticks since boot do not move.
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    after_name = stat.rpartition(b")")[2].split()
    state, ticks = after_name[0], int(after_name[19])
    return None if state in {b"Z", b"X"} else ticks / os.sysconf("SC_CLK_TCK")


def _started_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
