"""The process that owns an attempt, and whether it has ended.

A process that is not visible may be alive: in another container, on another machine of the same name, hidden by
`hidepid`. Only the owner's own process table proves that it has ended; in all other cases its lease decides.
"""

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
class OwnerProcess:
    """A process. `boot_id` names its process table: the boot and the PID namespace on Linux, empty on other systems.

    `pid_started` is in seconds, on a clock that does not depend on the host's time of day.
    """

    host: str
    boot_id: str
    pid: int
    pid_started: float

    @classmethod
    def of_this_process(cls) -> OwnerProcess:
        """The calling process."""
        pid = os.getpid()
        started = _read_stat("self") if sys.platform == "linux" else _started(pid)
        return cls(platform.node(), _process_table(), pid, started or 0.0)

    def is_dead(self) -> bool | None:
        """Whether the process has ended; None if this process cannot know."""
        if not self._is_in_this_table():
            return None
        try:
            started = _started(self.pid)
        except ProcessLookupError:
            return True
        return None if started is None else abs(started - self.pid_started) > _SAME_START

    def shares_this_kernel(self) -> bool:
        """Whether the process runs, or ran, on this machine since it booted, in any container."""
        boot = self.boot_id.partition(" ")[0]
        return boot == _process_table().partition(" ")[0] and (bool(boot) or self.host == platform.node())

    def _is_in_this_table(self) -> bool:
        known = bool(self.boot_id) or sys.platform != "linux"
        return known and (self.host, self.boot_id) == (platform.node(), _process_table())


@cache
def _process_table() -> str:
    """`BOOT pid:[NUMBER]` on Linux; empty if the system does not provide it."""
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> float | None:
    """When process `pid` started; None if that is hidden. Raises ProcessLookupError if it has ended."""
    return _started_linux(pid) if sys.platform == "linux" else _started_by_psutil(pid)


def _started_linux(pid: int) -> float | None:
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # it belongs to another user
    except OverflowError as error:
        raise ProcessLookupError(pid) from error
    return _read_stat(str(pid)) if _proc_is_of_this_namespace() else None


def _read_stat(process: str) -> float | None:
    # psutil adds the time of boot, which the kernel derives from the time of day: a stepped clock would make a
    # living process look like another one. Ticks since boot are not affected.
    try:
        stat = Path("/proc", process, "stat").read_bytes()
    except (FileNotFoundError, PermissionError):  # hidden, or just ended, which the next call detects
        return None
    after_name = stat.rpartition(b")")[2].split()
    state, ticks = after_name[0], int(after_name[19])
    if state in {b"Z", b"X"}:
        raise ProcessLookupError(process)  # only its parent has not waited for it yet
    return ticks / os.sysconf("SC_CLK_TCK")


@cache
def _proc_is_of_this_namespace() -> bool:
    """False where /proc shows an outer PID namespace, in which the same numbers are other processes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) == 1


def _started_by_psutil(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return float(process.create_time())
    except psutil.AccessDenied:
        return None
    except (psutil.NoSuchProcess, OverflowError) as error:
        raise ProcessLookupError(pid) from error
    raise ProcessLookupError(pid)
