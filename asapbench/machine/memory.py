"""The main memory that this process may use, and whether the kernel killed a process because it ran out.

In a container or a cluster's job the control group's limit counts, not the machine's memory (cgroups, both versions).
"""

from __future__ import annotations

from pathlib import Path

from asapbench.machine.control_groups import folders, text

_MACHINE = Path("/proc/vmstat")


def available() -> int:
    """Bytes available without swapping, within the limits of this process's control groups."""
    import psutil

    left = [int(psutil.virtual_memory().available)]
    for folder in folders("memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None:
                left.append(max(most - taken + _cached(folder), 0))
    return min(left)


def kernel_kills() -> int:
    """How many processes of this control group (without one: of the machine) the kernel's out-of-memory killer has
    killed so far.
    """
    for folder in folders("memory"):
        for name in ("memory.events", "memory.oom_control"):
            found = _field(folder / name, "oom_kill")
            if found is not None:
                return found
    return _field(_MACHINE, "oom_kill") or 0


class KernelKills:
    """Whether the kernel's kills explain a worker's end: each kill explains one worker."""

    def __init__(self) -> None:
        self._seen = kernel_kills()

    def attribute_one(self) -> bool:
        """Whether there is a kill that no earlier call has counted."""
        if kernel_kills() <= self._seen:
            return False
        self._seen += 1
        return True


def _cached(folder: Path) -> int:
    """Bytes of the page cache, which a group frees when needed although its usage includes them."""
    statistics = folder / "memory.stat"
    return _field(statistics, "total_inactive_file") or _field(statistics, "inactive_file") or 0


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no such file, or no limit ("max")."""
    said = text(path).strip()
    return int(said) if said.isdigit() else None


def _field(path: Path, name: str) -> int | None:
    """The number behind `name` in a file of lines `name number`."""
    fields = dict(line.split(maxsplit=1) for line in text(path).splitlines() if " " in line)
    return int(fields[name]) if name in fields else None
