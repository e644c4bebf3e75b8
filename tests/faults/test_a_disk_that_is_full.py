"""A run waits for a full disk, and continues by itself when there is space again."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import SLOTS, Undisturbed
from injuries import fill
from small_runs import recorded, start, wait_until, write_suite

pytestmark = pytest.mark.faults


def test_a_run_continues_when_there_is_room_again(
    undisturbed: Undisturbed, small_disk: Path | None, tmp_path: Path
) -> None:
    if small_disk is None:
        pytest.skip("this user may not mount a file system")
    folder = small_disk / "run"
    folder.mkdir()
    write_suite(folder)
    log = tmp_path / "log.txt"
    with log.open("w") as output:
        process = start(folder, "run", "small.toml", *SLOTS, output=output)
    wait_until(lambda: recorded(folder) >= 1, "an epoch")
    filler = fill(small_disk)
    wait_until(lambda: "waiting for it, 300 s at most" in log.read_text(), "a process to meet the full disk")
    filler.unlink()
    assert process.wait(300) == 0, log.read_text()
    assert Undisturbed.of(folder) == undisturbed
