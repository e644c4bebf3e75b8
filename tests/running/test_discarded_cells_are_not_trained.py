"""A run trains no discarded cell by itself and says so; a rerun trains it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import query, run, write_suite

from asapbench.machine.slots import Slot
from asapbench.running.launch import notices
from asapbench.running.plan import plan_cells
from asapbench.running.selection import Request, recorded, unfinished
from asapbench.store import Store
from asapbench.suite.load import load

CELLS = load("quickstart").cells[:3]


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
