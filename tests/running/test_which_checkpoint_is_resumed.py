"""A cell resumes its newest lineage that left a checkpoint here, also if another machine has started from scratch."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_runs import CURVES, DB, curves, query, recorded, run, start, wait_until, write_suite

from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.assignment import Assignment, Options, assign
from asapbench.store import Provenance
from asapbench.store.store import Store
from asapbench.suite.load import load
from asapbench.worker.files import Files

CELL = load("quickstart").cells[0]
NOWHERE = Provenance(None, None, {}, {})
RESULT = "SELECT lineage FROM attempt WHERE state = 'done'"
ATTEMPTS = "SELECT id, number, state, lineage, resumed_from, epochs_done FROM attempt ORDER BY number"
EPOCHS = "SELECT lineage, epoch, attempt_id, train_loss FROM epoch_metrics ORDER BY 1, 2"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "results.sqlite")) as opened:
        yield opened


class Place:
    """A machine's folder of files, and the database that several machines know all of."""

    def __init__(self, store: Store, files: Files) -> None:
        self.store, self.files = store, files
        self.said: list[str] = []

    def assigned(self) -> Assignment:
        options = Options(data=self.files.root, files=self.files)
        assignment = assign(self.store, CELL, Slot(0, "cpu"), provenance=NOWHERE, options=options, say=self.said.append)
        assert assignment is not None
        return assignment

    def stopped(self, epochs: int) -> Assignment:
        """An attempt that stopped after so many epochs of its lineage, and left a checkpoint."""
        held = self.assigned()
        rows = [EpochMetrics(n, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, 1.0, 1.0, None) for n in range(1, epochs + 1)]
        self.store.record_epochs(held.claim, rows)
        self.store.finish(held.claim, "interrupted")
        folder = self.files.checkpoints(CELL.id, held.claim.attempt_id)
        folder.mkdir(parents=True)
        (folder / "00000001.checkpoint").touch()
        return held

    def take_checkpoint(self, held: Assignment, *, of: Place) -> None:
        """Copies the checkpoint of another place's attempt."""
        place = CELL.id, held.claim.attempt_id
        shutil.copytree(of.files.checkpoints(*place), self.files.checkpoints(*place))


@pytest.fixture
def here(store: Store, tmp_path: Path) -> Place:
    return Place(store, Files(tmp_path / "here"))


@pytest.fixture
def there(store: Store, tmp_path: Path) -> Place:
    return Place(store, Files(tmp_path / "there"))


def test_an_attempt_of_another_machine_does_not_hide_a_checkpoint_that_is_here(here: Place, there: Place) -> None:
    ours = here.stopped(2)
    theirs = there.stopped(1)
    assert theirs.claim.lineage != ours.claim.lineage
    again = here.assigned()
    assert (again.claim.lineage, again.claim.resumed_from) == (ours.claim.lineage, ours.claim.attempt_id)
    assert again.claim.number == 3
    said = f"{CELL.label} ({CELL.short}): no checkpoint of attempt 2 is here; it resumes from attempt 1"
    assert here.said == [said]


def test_each_machine_continues_its_own_lineage(here: Place, there: Place) -> None:
    ours, theirs = here.stopped(2), there.stopped(1)
    assert here.stopped(2).claim.lineage == ours.claim.lineage
    assert there.stopped(3).claim.lineage == theirs.claim.lineage
    assert here.assigned().claim.lineage == ours.claim.lineage


def test_the_newest_lineage_is_continued_where_its_checkpoint_is_here_though_an_older_came_further(
    here: Place, there: Place
) -> None:
    here.stopped(2)
    theirs = there.stopped(1)
    here.take_checkpoint(theirs, of=there)
    assert here.assigned().claim.lineage == theirs.claim.lineage
    assert here.said == []


@pytest.mark.parametrize("epochs", [(3, 1), (1, 3)])
def test_of_several_older_lineages_the_one_that_came_furthest_is_continued(
    epochs: tuple[int, int], here: Place, there: Place, store: Store, tmp_path: Path
) -> None:
    ours, theirs = here.stopped(epochs[0]), there.stopped(epochs[1])
    here.take_checkpoint(theirs, of=there)
    Place(store, Files(tmp_path / "other-files")).stopped(5)
    assert here.assigned().claim.lineage == max(zip(epochs, (ours, theirs), strict=True))[1].claim.lineage


def test_what_is_superseded_is_not_resumed(here: Place, there: Place, store: Store) -> None:
    earlier = {here.stopped(2).claim.lineage, there.stopped(1).claim.lineage}
    store.supersede([CELL.id])
    assert here.assigned().claim.lineage not in earlier
    assert here.said == []


@pytest.mark.slow
def test_after_a_merge_a_machine_resumes_its_own_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    here, there, quiet = (tmp_path / name for name in ("here", "there", "quiet"))
    one = ("--only", "rule=asap", "--seeds", "0", "--set", "epochs=5")
    cell = ("run", "small.toml", *one, "--checkpoint-every", "0.2s")
    for folder in (here, there, quiet):
        folder.mkdir()
        write_suite(folder)
    for folder, epochs in ((here, 2), (there, 1)):
        process = start(folder, *cell)
        wait_until(lambda folder=folder, n=epochs: recorded(folder) >= n, "some epochs")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 3, output
    first = curves(here)
    run(here, "merge", str(there / DB))
    output = run(here, "resume")
    assert "no checkpoint of attempt 2 is here; it resumes from attempt 1" in output
    run(quiet, *cell)
    assert curve_of_the_result(here) == curves(quiet)
    assert first == curves(quiet)[: len(first)]
    chain = "SELECT number, state, resumed_from IS NULL, lineage = (SELECT lineage FROM attempt WHERE number = 1)"
    assert query(here, f"{chain} FROM attempt ORDER BY number") == [
        (1, "interrupted", 1, 1),
        (2, "interrupted", 1, 0),
        (3, "done", 0, 1),
    ]
    run(there, "merge", str(here / DB))
    for sql in (ATTEMPTS, EPOCHS):
        assert query(there, sql) == query(here, sql)
    assert curve_of_the_result(there) == curves(quiet)
    assert query(there, "PRAGMA integrity_check") == [("ok",)]


def curve_of_the_result(folder: Path) -> list[tuple]:
    return query(folder, CURVES.replace("ORDER BY", f"WHERE epoch_metrics.lineage = ({RESULT}) ORDER BY"))
