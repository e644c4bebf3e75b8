"""A run trains no discarded cell by itself and says so; a rerun trains it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import query, run, write_suite

from asapbench.cli.progress import opening_line
from asapbench.machine.slots import Slot
from asapbench.metrics import EpochMetrics
from asapbench.running.launch import notices, plan
from asapbench.running.plan import plan_cells
from asapbench.running.selection import Request, recorded, unfinished
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

CELLS = load("quickstart").cells[:3]
SLOTS = [Slot(0, "cpu")]


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(str(tmp_path / "x.sqlite")) as opened:
        opened.record_suite("quickstart", "shipped", CELLS)
        opened.discard([CELLS[1].id], "a wrong learning rate")
        yield opened


def test_a_discarded_cell_is_recorded_and_neither_unfinished_nor_left(store: Store) -> None:
    [selected] = recorded(store, ["quickstart"], Request(db=store.url))
    assert len(selected.cells) == 3
    assert unfinished(store, selected.cells, ()) == [CELLS[0], CELLS[2]]
    plan = plan_cells(store, selected.cells, [Slot(0, "cpu")])
    assert [item.cell for item in plan.left] == [CELLS[0], CELLS[2]]
    assert plan.states == {"pending": 2, "discarded": 1}


def test_a_plan_of_a_rerun_trains_all_from_the_start_in_the_times_that_were_measured(store: Store) -> None:
    owner, provenance = OwnerProcess("a-host", "a-boot", 4, 1.0), Provenance(None, None, {}, {})
    claim = store.claim(CELLS[0], owner=owner, provenance=provenance, device="cpu")
    assert claim is not None
    store.record_epochs(claim, [EpochMetrics(1, 1.5, 0.5, 1.5, 0.5, None, None, 0.03, 2.0, 9.0, 1)])
    store.finish(claim, "done")
    request = Request(db=store.url)
    planned = plan(store, recorded(store, ["quickstart"], request), request, supersede=True)
    assert planned.states == {"pending": 3}
    assert [item.epochs_done for item in planned.items] == [0, 0, 0]
    assert planned.bases == {"measured": 3}


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (CELLS, "2 of 3 cells are done, 1 discarded: nothing to train."),
        (CELLS[1:2], "The cell is discarded: nothing to train."),
        (CELLS[::2], "All 2 cells are done: nothing to train."),
    ],
)
def test_a_run_with_nothing_to_train_says_how_many_cells_are_done_and_discarded(
    store: Store, cells: tuple[Cell, ...], line: str
) -> None:
    planned = plan_cells(store, cells, SLOTS)
    done = tuple(replace(item, state="done") if item.left else item for item in planned.items)
    assert opening_line(replace(planned, items=done), SLOTS) == line


def test_a_run_says_what_it_leaves_out_and_how_to_train_it(store: Store) -> None:
    request = Request(db=store.url)
    selected = recorded(store, ["quickstart"], request)
    [said] = [line for line in notices(store, selected, request, supersede=False) if "discarded" in line]
    assert said.startswith("quickstart: discarded cells that are not trained: 1; `asapbench list quickstart --state")
    assert f"`asapbench restore CELL --db {store.url}` restores one, rerun trains it again" in said
    assert not [line for line in notices(store, selected, request, supersede=True) if "discarded" in line]


@pytest.mark.slow
def test_a_rerun_trains_a_discarded_cell_and_its_new_result_counts(tmp_path: Path) -> None:
    write_suite(tmp_path)
    options = ("--set", "epochs=1", "--seeds", "0", "--only", "rule=bp", "--slots", "1")
    run(tmp_path, "run", "small.toml", *options)
    [(cell,)] = query(tmp_path, "SELECT id FROM cell")
    run(tmp_path, "discard", cell[:10], "--reason", "a wrong learning rate")
    assert "discarded cells that are not trained: 1" in run(tmp_path, "run", "small.toml", *options)
    assert query(tmp_path, "SELECT COUNT(*) FROM attempt") == [(1,)]
    run(tmp_path, "rerun", "small", "--slots", "1")
    assert query(tmp_path, "SELECT state, superseded FROM attempt ORDER BY number") == [("done", 1), ("done", 0)]
    assert query(tmp_path, "SELECT state, discard_reason FROM result") == [("done", None)]
