"""What reaches a sink is what the database has: each epoch once, in order, whatever ends, dies, resumes or fails."""

from __future__ import annotations

import csv
import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_workers import FakeExecutor, FakeWorker, Quiet, epoch, make_runner
from in_process import asapbench

from asapbench.errors import SinkError
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.settings import RunSettings
from asapbench.running.sinks import feed
from asapbench.running.sinks.csv_log import CsvLog
from asapbench.running.sinks.feed import Feeds
from asapbench.running.sinks.sink import Series
from asapbench.store import OwnerProcess, Provenance
from asapbench.store.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse

SUITE = """
[suite]
name = "s"
[[grid]]
dataset = "digits"
model = { name = "resnet10", width = 2 }
rule = ["bp", "asap"]
lr = 0.1
epochs = 3
"""
CELLS = parse(SUITE, source="s.toml").cells


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(f"sqlite:///{tmp_path / 'r.sqlite'}") as opened:
        opened.record_suite("s", "s.toml", CELLS)
        yield opened


def three_epochs(worker: FakeWorker, cell: Cell) -> None:
    for number in (1, 2, 3):
        worker.finish_epoch(number)
    worker.end("done")


def trained(store: Store, folder: Path, settings: RunSettings, script=three_epochs, cells: Sequence[Cell] = CELLS):
    """The view and the outcome of a run of fake workers with the sinks of `settings`."""
    sinks, view = Feeds(settings), Quiet()
    sinks.start(store, cells)
    todo = [cell for cell in cells if (now := store.states([cell.id])[cell.id]) is None or now.state != "done"]
    runner = make_runner(store, todo, FakeExecutor([Slot(0, "cpu", 1)], script), folder, view=view)
    runner._sinks = sinks
    return view, runner.run()


def lines(path: Path) -> list[tuple[str, int]]:
    """The series and the epoch of each line."""
    with path.open(newline="") as file:
        return [(row["series"], int(row["epoch"])) for row in csv.DictReader(file)]


def recorded(store: Store) -> list[tuple[str, int]]:
    found = []
    for cell in CELLS:
        for attempt in store.attempts(cell.id):
            if attempt.lineage == attempt.id:
                series = Series(cell, attempt.lineage).id
                found += [(series, row.epoch) for row in store.epochs(attempt.lineage)]
    return sorted(found)


def test_the_csv_log_has_each_epoch_once_with_what_distinguishes_the_cell(store, tmp_path) -> None:
    log = tmp_path / "log.csv"
    _, outcome = trained(store, tmp_path, RunSettings(csv_log=log))
    assert sorted(lines(log)) == recorded(store)
    assert len(lines(log)) == 6
    assert outcome.failed_sinks == []
    with log.open(newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["rule"], row["model"], row["seed"], row["lr"], row["lr_of_epoch"], row["test_accuracy"]) == (
        "bp",
        "resnet10(width=2)",
        "0",
        "0.1",
        "0.1",
        "0.5",
    )


def test_what_a_crash_kept_from_the_log_is_sent_by_the_next_run_even_of_cells_that_are_done(store, tmp_path) -> None:
    log = tmp_path / "log.csv"
    trained(store, tmp_path, RunSettings(csv_log=log))
    whole = log.read_bytes()
    for end in (len(whole) - 1, len(whole) - 30, whole.index(b"\n") + 10, 12, 0):
        log.write_bytes(whole[:end])
        trained(store, tmp_path, RunSettings(csv_log=log))
        assert sorted(lines(log)) == recorded(store)


def test_a_resumed_cell_continues_its_series_and_a_retrained_one_starts_another(store, tmp_path) -> None:
    log = tmp_path / "log.csv"
    cell = CELLS[:1]
    owner, provenance = OwnerProcess.of_this_process(), Provenance(None, None, {}, {})
    claim = store.claim(cell[0], owner=owner, provenance=provenance, device="cpu")
    store.record_epochs(claim, [epoch(1)])
    store.finish(claim, "interrupted")
    trained(store, tmp_path, RunSettings(csv_log=log), cells=CELLS[1:])
    assert len(lines(log)) == 3
    again = store.claim(cell[0], owner=owner, provenance=provenance, device="cpu", lineage=claim.lineage)
    sinks = Feeds(RunSettings(csv_log=log))
    sinks.start(store, [])
    sinks.wrote(cell[0], again.lineage, [epoch(1), epoch(2)])
    sinks.wrote(cell[0], again.lineage, [epoch(2), epoch(3)])
    sinks.ended(cell[0], again.lineage, "done")
    sinks.close()
    series = Series(cell[0], claim.lineage).id
    assert [line for line in lines(log) if line[0] == series] == [(series, 1), (series, 2), (series, 3)]
    assert Series(cell[0], "another").id != series


class Broken:
    """A sink that fails at its second epoch, as a full disk or a server that is away does."""

    def __init__(self, path: Path) -> None:
        self.epochs = 0

    def open(self, series: Series) -> int:
        return 0

    def epoch(self, series: Series, metrics: EpochMetrics) -> None:
        self.epochs += 1
        if self.epochs == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    def ended(self, series: Series, state: str) -> None: ...

    def close(self) -> None: ...


def test_a_sink_that_fails_is_one_warning_and_the_run_is_complete(store, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("asapbench.running.sinks.tensorboard.TensorBoard", Broken)
    log = tmp_path / "log.csv"
    view, outcome = trained(store, tmp_path, RunSettings(csv_log=log, tensorboard=tmp_path / "tb"))
    assert outcome.ended == {"done": 2}
    warning = "--tensorboard failed and is switched off; training is not affected ([Errno 28] No space left on device)"
    assert view.messages == [f"warning: {warning}"]
    assert outcome.failed_sinks == [warning]
    assert sorted(lines(log)) == recorded(store)


def test_training_does_not_wait_for_a_sink_that_hangs(store, tmp_path, monkeypatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(Broken, "epoch", lambda *_: hangs.wait(60))
    monkeypatch.setattr("asapbench.running.sinks.tensorboard.TensorBoard", Broken)
    monkeypatch.setattr(feed, "_CLOSE_SECONDS", 0.2)
    _, outcome = trained(store, tmp_path, RunSettings(tensorboard=tmp_path))
    hangs.set()
    assert outcome.ended == {"done": 2}
    assert outcome.failed_sinks == [
        "--tensorboard has not received everything; the next run or resume with it sends the rest"
    ]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch) -> None:
    log = CsvLog(tmp_path / "log.csv")
    log.epoch(Series(CELLS[0], "a"), epoch(1))
    before, write = (tmp_path / "log.csv").read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    with pytest.raises(OSError, match="No space left on device"):
        log.epoch(Series(CELLS[0], "a"), epoch(2))
    monkeypatch.undo()
    log.close()
    assert (tmp_path / "log.csv").read_bytes() == before


@pytest.mark.parametrize("content", ["mine,too\n1,2\n", "no line end"])
def test_another_file_is_refused_and_stays_as_it_is(content: str, tmp_path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(SinkError, match="another file"):
        CsvLog(path)
    assert path.read_text() == content


def test_two_runs_do_not_write_to_one_log(tmp_path) -> None:
    first = CsvLog(tmp_path / "log.csv")
    with pytest.raises(SinkError, match="another run is writing to it"):
        CsvLog(tmp_path / "log.csv")
    first.close()
    CsvLog(tmp_path / "log.csv").close()


@pytest.mark.parametrize(
    ("option", "value", "package", "install"),
    [
        ("--tensorboard", "tb", "tensorboard", 'pip install ".[tensorboard]"'),
        ("--wandb", "project", "wandb", "pip install wandb"),
        ("--mlflow", "sqlite:///ml.db", "mlflow", "pip install mlflow"),
    ],
)
def test_a_missing_client_is_one_error_before_anything_trains(
    option: str, value: str, package: str, install: str, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = asapbench("run", "quickstart", option, value, "--slots", "1")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"error: {option} needs the package {package}: {install}")
    with Store.read_only() as made:
        assert made.suites() == []


def test_a_resumed_run_repeats_the_sinks_without_a_password() -> None:
    from asapbench.cli.settings import words

    given = RunSettings(csv_log=Path("log.csv"), wandb="p", mlflow="http://me:secret@host:5000")
    assert words(given) == ["--csv-log", "log.csv", "--wandb", "p", "--mlflow", "http://me:***@host:5000"]
