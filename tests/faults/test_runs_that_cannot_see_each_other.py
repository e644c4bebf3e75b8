"""Two runs in PID namespaces of their own, as in two containers: neither takes the other for dead."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from campaign import IMPATIENT, SLOTS, Undisturbed
from small_runs import environment, query, recorded, start, wait_until, workers, write_suite

pytestmark = pytest.mark.faults
INSIDE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.fixture
def inside() -> list[str]:
    if not shutil.which("unshare") or subprocess.run([*INSIDE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a PID namespace")
    return [*INSIDE, sys.executable, *IMPATIENT]


def test_the_second_waits_while_the_first_lives_and_takes_over_by_the_lease(
    inside: list[str], undisturbed: Undisturbed, tmp_path: Path
) -> None:
    write_suite(tmp_path)
    first = start(tmp_path, "run", "small.toml", *SLOTS, program=IMPATIENT)
    wait_until(lambda: recorded(tmp_path) >= 1, "an epoch of the first")
    for worker in workers(tmp_path):  # else the first may be done before the second has started
        os.kill(worker, signal.SIGSTOP)
    log = tmp_path / "second.txt"
    with log.open("w") as output:
        second = subprocess.Popen(
            [*inside, "resume", *SLOTS], cwd=tmp_path, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "is being trained by another run" in log.read_text(), "the second to meet the first")
        assert query(tmp_path, "SELECT error FROM attempt WHERE state = 'interrupted'") == []
        assert second.poll() is None
        first.kill()
        first.communicate()
        assert second.wait(200) == 0, log.read_text()
    finally:
        second.kill()
    taken = query(tmp_path, "SELECT error FROM attempt WHERE state = 'interrupted'")
    assert taken, log.read_text()
    assert all(f"(pid {first.pid} on" in error and "did not advance its lease" in error for (error,) in taken)
    assert Undisturbed.of(tmp_path) == undisturbed
