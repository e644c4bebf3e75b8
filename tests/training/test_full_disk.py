"""A checkpoint that finds no room is tried again; training ends with the same bits, or fails with the cause."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tiny_cell import Recorder, bits, cell, same_bits, trainer


class FullDisk:
    """Syncs nothing for the first `times` times from the third on."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls, self.times, self.sync = 0, times, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        if 3 <= self.calls < 3 + self.times:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.sync(descriptor)


def test_a_disk_that_is_full_for_a_while_costs_time_only(images, tmp_path: Path, monkeypatch) -> None:
    expected = trainer(cell(), images, tmp_path / "whole", Recorder())
    expected.fit()
    FullDisk(2, monkeypatch)
    recorder = Recorder()
    run = trainer(cell(), images, tmp_path / "full", recorder)
    assert run.fit() == "done"
    assert same_bits(bits(expected), bits(run))
    assert len(recorder.rows) == 3
    (warning,) = recorder.warnings
    assert "No space left on device" in warning


def test_a_disk_that_stays_full_ends_the_cell_with_its_cause(images, tmp_path: Path, monkeypatch) -> None:
    FullDisk(10**9, monkeypatch)
    run = trainer(cell(), images, tmp_path, Recorder())
    run.checkpoints.retry_policy.seconds = 0.1
    with pytest.raises(OSError, match="No space left on device"):
        run.fit()
    assert not list(tmp_path.rglob("*.part"))
