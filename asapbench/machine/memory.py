"""The machine's main memory, as far as this process may use it; and whether the kernel killed for want of it.

In a container or a cluster's job the control group's limit counts, not the machine's memory (cgroups, both versions).
"""

from __future__ import annotations

from pathlib import Path

from asapbench.machine.control_groups import folders, text

_MACHINE = Path("/proc/vmstat")


def available() -> int:
    """Bytes that can be taken without swapping, and within the limits of this process's control groups."""
    import psutil

    left = [int(psutil.virtual_memory().available)]
    for folder in folders("memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None:
                left.append(max(most - taken + _cached(folder), 0))
    return min(left)


def kernel_kills() -> int:
    """How many processes of this control group (where there is none: of the machine) the kernel has killed so far
    because memory had run out.
    """
    for folder in folders("memory"):
        for name in ("memory.events", "memory.oom_control"):
            found = _field(folder / name, "oom_kill")
            if found is not None:
                return found
    return _field(_MACHINE, "oom_kill") or 0


class KernelKills:
    """Tells whether the kernel's kills account for a worker's end: each one accounts for one worker."""

    def __init__(self) -> None:
        self._seen = kernel_kills()

    def one_more(self) -> bool:
        """Whether the kernel has killed since, and more often than was asked about already."""
        if kernel_kills() <= self._seen:
            return False
        self._seen += 1
        return True


def _cached(folder: Path) -> int:
    """Bytes of files read, which a group gives up when it needs them: its use counts them."""
    statistics = folder / "memory.stat"
    return _field(statistics, "total_inactive_file") or _field(statistics, "inactive_file") or 0


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file, or no limit ("max")."""
    said = text(path).strip()
    return int(said) if said.isdigit() else None


def _field(path: Path, name: str) -> int | None:
    """The number behind `name` in a file of lines `name number`."""
    fields = dict(line.split(maxsplit=1) for line in text(path).splitlines() if " " in line)
    return int(fields[name]) if name in fields else None
