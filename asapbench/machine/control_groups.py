"""The control groups of this process (cgroups, both versions): the limits of a container or a cluster's job."""

from __future__ import annotations

from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MINE = Path("/proc/self/cgroup")


def folders(controller: str) -> list[Path]:
    """The group of this process under `controller` (memory, cpu) and its parents, the innermost first."""
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
    """The limit of each group that has one, in cores."""
    found = []
    for folder in folders("cpu"):
        first = text(folder / "cpu.cfs_quota_us"), text(folder / "cpu.cfs_period_us")
        quota, _, period = (text(folder / "cpu.max") or " ".join(part.strip() for part in first)).strip().partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):  # else "max", -1 or no such file
            found.append(int(quota) / int(period))
    return found


def text(path: Path) -> str:
    """The content of a file of the kernel; empty if there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""  # not Linux, or not readable
