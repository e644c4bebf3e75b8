"""A cell of an earlier version whose size is beyond the data is reported and evaluated as before, and not trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from in_process import asapbench
from small_runs import DB, run

from asapbench.data.images import load as load_images
from asapbench.errors import DataError
from asapbench.metrics import EpochMetrics
from asapbench.models import build
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.catalog import DATASETS
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.training.checkpoint import write_file

BEYOND = DATASETS["digits"].choose({"train_size": 5000})
SAYS = "train_size 5000 is more than the 1438 training images that digits has: take at most 1438, or 0 for all"

EPOCH = EpochMetrics(1, 2.0, 0.25, 1.9, 0.3125, None, None, 0.03, 2.0, 719.0, None)


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The first is done, with kept weights; the second is pending."""
    monkeypatch.chdir(tmp_path)
    cells = [replace(load("quickstart").cells[0], dataset=BEYOND, epochs=1, seed=seed) for seed in (0, 1)]
    path = tmp_path / f"{cells[0].short}.weights"
    model = build(cells[0].model, channels=1, size=8, classes=10)
    digest = write_file({"cell": cells[0].to_json(), "model": model.state_dict(), "rule": {}}, path)
    with Store.open() as store:
        store.record_suite("old", "old.toml", cells)
        owner = OwnerProcess.of_this_process()
        claim = store.claim(cells[0], owner=owner, provenance=Provenance(None, None, {}, {}), device="cpu")
        assert claim is not None
        store.record_epochs(claim, [EPOCH])
        store.finish(claim, "done", weights_path=str(path), weights_digest=digest)
    return cells


def test_it_is_reported_exported_and_evaluated(cells: list[Cell]) -> None:
    commands = (
        ("status", "--cells", "--device", "cpu"),
        ("show", cells[0].short),
        ("report", "--suite", "old"),
        ("export", "old.csv"),
        ("evaluate", cells[0].short),
    )
    for command in commands:
        said = asapbench(*command)
        assert (said.status, said.err) == (0, ""), command


def test_its_result_is_not_superseded_by_a_rerun_that_cannot_train_it(cells: list[Cell]) -> None:
    said = asapbench("rerun", "old", "--device", "cpu")
    assert said.status == 2
    assert SAYS in said.err
    with Store.read_only() as store:
        assert [result.attempt.state for result in store.results()] == ["done"]


def test_a_run_fails_it_by_name_and_does_not_try_again(cells: list[Cell], tmp_path: Path) -> None:
    said = run(tmp_path, "resume", "--device", "cpu", "--slots", "1", status=1)
    assert SAYS in said
    with Store.read_only(f"sqlite:///{tmp_path / DB}") as store:
        assert [attempt.state for attempt in store.attempts(cells[1].id)] == ["failed"]
        assert [attempt.state for attempt in store.attempts(cells[0].id)] == ["done"]


def test_who_loads_the_images_gets_no_fewer_than_asked_for() -> None:
    with pytest.raises(DataError, match=f"digits: {SAYS}"):
        load_images(BEYOND, Path("none"))
