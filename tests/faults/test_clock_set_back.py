"""A clock that is set back while cells train, and again before they resume, changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from campaign import SLOTS, Undisturbed
from small_runs import environment, query, recorded, wait_until, workers, write_suite

pytestmark = pytest.mark.faults
BACKWARDS = """
import datetime, time

_time, _asked = time.time, 0

def backwards():
    global _asked
    _asked += 1
    return _time() - 3600.0 * _asked

class Backwards(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(backwards(), tz)

time.time, datetime.datetime = backwards, Backwards
"""
"""Each time it is asked the clock has gone back by an hour."""


def test_times_of_day_decide_nothing(undisturbed: Undisturbed, tmp_path: Path) -> None:
    write_suite(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BACKWARDS)
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])

    def asapbench(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "asapbench", *arguments, *SLOTS]
        return subprocess.Popen(command, cwd=tmp_path, env=environment() | {"PYTHONPATH": path})

    process = asapbench("run", "small.toml")
    wait_until(lambda: recorded(tmp_path) >= 2, "two epochs")
    for pid in (process.pid, *workers(tmp_path)):
        os.kill(pid, signal.SIGKILL)
    process.wait(60)
    assert asapbench("resume").wait(300) == 0
    assert Undisturbed.of(tmp_path) == undisturbed
    times = query(tmp_path, "SELECT started_at, ended_at FROM attempt WHERE state = 'done'")
    assert any(ended < started for started, ended in times), "the clock did not go back"
