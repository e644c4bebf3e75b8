"""Training continues while a checkpoint is written; an epoch is reported when a checkpoint that holds it is durable."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cell import Recorder, bits, cell, same_bits, trainer

from asapbench.errors import CheckpointError, DivergedError
from asapbench.metrics import EpochMetrics
from asapbench.training import checkpoint, saved
from asapbench.training import trainer as training
from asapbench.training.trainer import Trainer
from asapbench.training.writer import Snapshot, Writer

WRITE = checkpoint.write
PATIENT = 120.0
"""Seconds: longer than anything here takes."""
ASKED = 4
"""How often an epoch asks whether to stop: after each of three steps, and once in its evaluation."""


class SlowDisk:
    """Writes begin when `free` is set. `began` and `files`: the position of each write, and what its file holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.entered = threading.Event(), threading.Event()
        self.began: list[tuple[int, int]] = []
        self.files: list[dict[str, Any]] = []
        monkeypatch.setattr(checkpoint, "write", self.write)

    def write(self, content: dict[str, Any], directory: Path, *, number: int) -> Path:
        self.began.append((content["epoch"], content["batch"]))
        self.entered.set()
        assert self.free.wait(PATIENT)
        path = WRITE(content, directory, number=number)
        self.files.append(checkpoint.read_file(path))
        return path


class Acting(Recorder):
    """Acts on the training thread after N questions; `held`: what was durable when an epoch was reported."""

    def __init__(self, directory: Path, acts: dict[int, Callable[[], object]], stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.directory, self.acts = directory, acts
        self.held: list[int] = []

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        super().finished_epoch(metrics)
        self.held.append(saved.read(max(checkpoint.files(self.directory))).epoch)

    def should_stop(self) -> bool:
        stop = super().should_stop()
        self.acts.get(self.steps, lambda: None)()
        return stop


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    found = SlowDisk(monkeypatch)
    yield found
    found.free.set()


def reported(recorder: Recorder) -> list[int]:
    return [row.epoch for row in recorder.rows]


def spoil(run: Trainer) -> None:
    """From the next step on the loss is not finite."""
    with torch.no_grad():
        next(run.state.model.parameters()).fill_(nan)


def test_training_continues_while_a_checkpoint_is_written_and_its_epoch_is_reported_after(
    images, tmp_path: Path, disk: SlowDisk
) -> None:
    seen = []

    def look() -> None:
        assert disk.entered.wait(PATIENT)
        seen.append((run.progress.epoch, list(disk.began), reported(recorder)))
        disk.free.set()

    recorder = Acting(tmp_path / "slow", {4 * ASKED + 2: look})
    run = trainer(cell(epochs=6), images, tmp_path / "slow", recorder)
    assert run.fit() == "done"
    assert seen == [(4, [(1, 0)], [])], "one write is pending, and nothing is reported"
    assert reported(recorder) == [1, 2, 3, 4, 5, 6]
    assert all(held >= epoch for held, epoch in zip(recorder.held, reported(recorder), strict=True))
    expected = trainer(cell(epochs=6), images, tmp_path / "whole", Recorder())
    expected.fit()
    assert same_bits(bits(expected), bits(run))


def test_a_slow_write_holds_the_state_of_the_moment_at_which_it_began(
    images, tmp_path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    write = Writer.write

    def keeping(self: Writer, content: dict[str, Any], make_durable: Any) -> None:
        given.append(copy.deepcopy(content))
        write(self, content, make_durable)

    monkeypatch.setattr(Writer, "write", keeping)
    run = trainer(cell(epochs=4), images, tmp_path, Acting(tmp_path, {3 * ASKED + 1: disk.free.set}))
    assert run.fit() == "done"
    assert len(disk.files) == len(given) >= 2
    for before, held in zip(given, disk.files, strict=True):
        assert held["epoch"] == before["epoch"]
        for part in ("model", "rule", "tally"):
            assert_equal(held[part], before[part])
        assert_equal(held["optimizer"]["state"], before["optimizer"]["state"])
    assert not same_bits(disk.files[0]["model"], run.state.model.state_dict())


def assert_equal(held: dict[Any, Any], before: dict[Any, Any]) -> None:
    assert held.keys() == before.keys()
    for name, value in before.items():
        if isinstance(value, dict):
            assert_equal(held[name], value)
        elif isinstance(value, torch.Tensor):
            assert torch.equal(held[name], value)
            assert held[name].stride() == value.stride()
        else:
            assert held[name] == value


@pytest.mark.parametrize("error", [CheckpointError("no"), MemoryError("no"), OSError(5, "no"), RuntimeError("no")])
@pytest.mark.parametrize("epoch", [1, 3])
def test_what_a_write_raises_ends_the_cell_with_it(
    error: Exception, epoch: int, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(content: dict[str, Any], directory: Path, *, number: int) -> Path:
        if content["epoch"] >= epoch:
            raise error
        return WRITE(content, directory, number=number)

    monkeypatch.setattr(checkpoint, "write", failing)
    recorder = Recorder()
    with pytest.raises(type(error), match="no"):
        trainer(cell(), images, tmp_path, recorder).fit()
    assert reported(recorder) == list(range(1, len(recorder.rows) + 1))
    assert len(recorder.rows) < epoch
    assert threads() == []


def test_what_the_listener_raises_at_an_epoch_ends_the_cell(images, tmp_path: Path) -> None:
    class Refusing(Recorder):
        def finished_epoch(self, metrics: EpochMetrics) -> None:
            raise KeyError(metrics.epoch)

    with pytest.raises(KeyError, match="1"):
        trainer(cell(epochs=50), images, tmp_path, Refusing()).fit()
    assert threads() == []


@pytest.mark.parametrize("every", [None, inf], ids=["a checkpoint is pending", "no checkpoint since the start"])
def test_a_cell_that_diverges_reports_the_epochs_before(
    every: float | None, images, tmp_path: Path, disk: SlowDisk
) -> None:
    acts = {2 * ASKED + 1: lambda: spoil(run), 2 * ASKED + 3: disk.free.set}
    recorder = Acting(tmp_path, acts)
    run = trainer(cell(epochs=4), images, tmp_path, recorder, checkpoint_seconds=every)
    with pytest.raises(DivergedError, match="in epoch 3"):
        run.fit()
    assert reported(recorder) == [1, 2]
    assert all(held >= epoch for held, epoch in zip(recorder.held, (1, 2), strict=True))
    again = Recorder()
    rest = trainer(cell(epochs=4), images, tmp_path / "again", again, previous=[tmp_path])
    with pytest.raises(DivergedError, match="in epoch 3"):
        rest.fit()
    assert len(again.history) == 2


def test_a_write_that_failed_is_not_hidden_by_a_divergence(
    images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = threading.Event()

    def failing(content: dict[str, Any], directory: Path, *, number: int) -> Path:
        assert spoilt.wait(PATIENT)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checkpoint, "write", failing)
    recorder = Acting(tmp_path, {ASKED + 2: lambda: spoil(run), ASKED + 3: spoilt.set})
    run = trainer(cell(), images, tmp_path, recorder)
    with pytest.raises(OSError, match="Input/output error"):
        run.fit()
    assert reported(recorder) == []


def test_a_stop_waits_for_the_pending_checkpoint_and_writes_its_own(images, tmp_path: Path, disk: SlowDisk) -> None:
    recorder = Acting(tmp_path, {}, stop_after=2 * ASKED + 2)
    run = trainer(cell(), images, tmp_path, recorder)
    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(run.fit()))
    thread.start()
    assert disk.entered.wait(PATIENT)
    thread.join(0.5)
    assert ended == []
    disk.free.set()
    thread.join(PATIENT)
    assert ended == ["interrupted"]
    assert reported(recorder) == [1, 2]
    assert saved.read(max(checkpoint.files(tmp_path))).position == (2, 2)
    assert threads() == []


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("checkpoints")]


class Clock:
    """A second passes each time the cell asks whether to stop, and `writing` seconds in each write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writing: float) -> None:
        self.now = 0.0
        self.writes: list[tuple[int, int]] = []
        start, write = Writer.write, checkpoint.write

        def timed(content: dict[str, Any], directory: Path, *, number: int) -> Path:
            self.writes.append((content["epoch"], content["batch"]))
            self.now += writing
            return write(content, directory, number=number)

        def waiting(writer: Writer, content: dict[str, Any], make_durable: Any) -> None:
            start(writer, content, make_durable)
            writer.wait()

        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(checkpoint, "write", timed)
        monkeypatch.setattr(Writer, "write", waiting)
        self.is_transient(1.0, monkeypatch)

    def is_transient(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on so many seconds pass each time."""

        def should_stop(_: Recorder) -> bool:
            self.now += seconds
            return False

        monkeypatch.setattr(Recorder, "should_stop", should_stop)


@pytest.mark.parametrize(
    ("every", "writing", "expected"),
    [
        (6.0, 0.0, [(2, 0), (4, 0), (5, 0)]),
        (5.0, 0.0, [(1, 2), (3, 0), (4, 2), (5, 0)]),
        (1000.0, 0.0, [(5, 0)]),
        (0.0, 0.0, [(epoch, batch) for epoch in range(5) for batch in (1, 2)] + [(n, 0) for n in range(1, 6)]),
        (None, 0.0, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]),
        (None, 1.0, [(1, 0), (3, 2), (5, 0)]),
        (None, 100.0, [(1, 0), (5, 0)]),
    ],
)
def test_checkpoints_are_written_by_time(
    every: float | None,
    writing: float,
    expected: list[tuple[int, int]],
    images,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, recorder = Clock(monkeypatch, writing), Recorder()
    trainer(cell(epochs=5), images, tmp_path, recorder, checkpoint_seconds=every).fit()
    assert clock.writes == sorted(expected)
    assert reported(recorder) == [1, 2, 3, 4, 5]


def test_without_a_time_a_long_epoch_has_a_checkpoint_every_two_minutes(
    images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 0.0)
    clock.is_transient(119.0, monkeypatch)
    trainer(cell(epochs=2), images, tmp_path, Recorder()).fit()
    assert clock.writes == [(1, 0), (2, 0)], "(0, 2) would be 119 s after the start"
    clock.writes.clear()
    clock.is_transient(120.0, monkeypatch)
    trainer(cell(epochs=1), images, tmp_path / "slower", Recorder()).fit()
    assert clock.writes == [(0, 2), (1, 0)]


def test_an_epochs_seconds_are_without_the_time_of_checkpoints(
    images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 50.0)
    recorder = Recorder()
    trainer(cell(epochs=2), images, tmp_path, recorder, checkpoint_seconds=0.0).fit()
    assert [row.seconds for row in recorder.rows] == [3.0, 3.0], "three steps of a second each"


def test_epochs_that_wait_for_a_checkpoint_are_announced(
    images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(Trainer, "_report", lambda *_: None)
    recorder = Recorder()
    trainer(cell(epochs=3), images, tmp_path, recorder, checkpoint_seconds=inf).fit()
    assert [event for event in recorder.progress if event[1] == 0] == [(2, 0, 3), (3, 0, 3)]


def test_a_snapshot_uses_its_memory_again_and_follows_a_change_of_shape() -> None:
    snapshot = Snapshot(torch.device("cpu"))
    weight = torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    first = snapshot.take({"state": {0: {"w": weight}}, "list": [weight, 1, "x"], "tuple": (weight, 2)})
    assert torch.equal(first["state"][0]["w"], weight)
    assert first["state"][0]["w"].stride() == weight.stride()
    assert first["list"][1:] == [1, "x"]
    assert first["tuple"][1:] == (2,)
    assert len({weight.data_ptr(), *(first[name][0].data_ptr() for name in ("list", "tuple"))}) == 3
    place = first["state"][0]["w"].data_ptr()
    assert place != weight.data_ptr()
    again = snapshot.take({"state": {0: {"w": weight + 1}}, "list": []})
    assert again["state"][0]["w"].data_ptr() == place
    assert torch.equal(again["state"][0]["w"], weight + 1)
    assert torch.equal(snapshot.take({"state": {0: {"w": torch.ones(3)}}})["state"][0]["w"], torch.ones(3))
