"""The undisturbed run, a small disk, and the table of the faults inflicted at the end of the session."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import Damage, Undisturbed, table
from small_runs import undisturbed_run


def pytest_configure() -> None:
    """SIGTERM, as from `timeout`, is Ctrl-C: what was started is ended, and the table of what was done is printed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed.of(undisturbed_run(tmp_path_factory))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 16 MB to fill; None where this user may not mount one."""
    place = tmp_path / "small-disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        yield None
        return
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, [])]
    damage: dict[str, dict[str, int]] = {}
    for kind, counted in (
        pair for report in reports for pair in report.user_properties if pair[0].startswith("fault ")
    ):
        total = damage.setdefault(kind.removeprefix("fault "), dict.fromkeys(vars(Damage()), 0))
        for name, number in counted.items():
            total[name] += number
    if damage:
        terminalreporter.section("faults inflicted at random")
        for line in table(damage):
            terminalreporter.write_line(line)
