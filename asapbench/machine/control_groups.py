"""The control groups of this process (cgroups, both versions): where a container or a cluster's job sets its limits."""

from __future__ import annotations

from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MINE = Path("/proc/self/cgroup")


def folders(controller: str) -> list[Path]:
    """The group of this process under `controller` (memory, cpu) and those around it, the innermost first."""
    found = []
    for line in text(_MINE).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _GROUPS / controllers
        inner = root / path.lstrip("/")
        found += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return found


def cores() -> list[float]:
    """How many cores' worth of time each group may use that has a limit."""
    found = []
    for folder in folders("cpu"):
        first = text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")
        quota, _, period = (text(folder / "cpu.max") or " ".join(part.strip() for part in first)).strip().partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):  # else "max", -1 or no such file
            found.append(int(quota) / int(period))
    return found


def text(path: Path) -> str:
    """What a file of the kernel says; nothing where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""  # not Linux, or nothing that this process may see
