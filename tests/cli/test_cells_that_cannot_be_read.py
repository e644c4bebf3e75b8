"""A cell of a database whose rule is not installed stops no other cell: it is left out, and commands say so."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import Commands

from asapbench import load_results
from asapbench.metrics import EpochMetrics
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse

TEXT = """\
[suite]
name = "mine"
[[grid]]
dataset = { name = "digits", train_size = 64 }
model = { name = "resnet10", width = 1 }
rule = ["bp", "fa", "kp"]
lr = 0.03
epochs = 1
batch_size = 32
"""
DB = Path("results/asapbench.sqlite")


def metrics() -> EpochMetrics:
    return EpochMetrics(1, 1.0, 0.5, 1.0, 0.5, None, None, 0.03, 1.0, 64.0, None)


@pytest.fixture
def cells(asapbench: Commands) -> dict[str, Cell]:
    """A suite of three cells: `bp` is done, deviating from its file; `kp` is done, by a rule that is not installed."""
    found = {cell.rule.name: cell for cell in parse(TEXT, source="mine.toml").cells}
    with Store.open() as store:
        store.record_suite("mine", "mine.toml", found.values(), text=TEXT.replace("epochs = 1", "epochs = 2"))
        for name in ("bp", "kp"):
            claim = store.claim(
                found[name],
                owner=OwnerProcess.of_this_process(),
                provenance=Provenance(None, None, {}, {}),
                device="cpu",
            )
            assert claim is not None
            store.record_epochs(claim, [metrics()])
            store.finish(claim, "done")
    alter(found["kp"].id, "rule", {"name": "theirs"})
    return found


def alter(cell_id: str, key: str, value: object) -> None:
    with closing(sqlite3.connect(DB)) as database, database:
        ((config,),) = database.execute("SELECT config FROM cell WHERE id = ?", [cell_id]).fetchall()
        changed = json.dumps(json.loads(config) | {key: value})
        database.execute("UPDATE cell SET config = ? WHERE id = ?", [changed, cell_id])


def test_resume_trains_the_others_and_says_what_it_leaves_out(asapbench: Commands, cells: dict[str, Cell]) -> None:
    said = asapbench("resume", "mine", "--slots", "1")
    assert (said.status, said.err) == (0, "")
    assert "mine: Left out: cells whose rule, model or data set is not installed" in said.out
    assert "Ended: 1 done" in said.out


def test_resume_says_why_a_plug_in_cannot_be_loaded(asapbench: Commands, cells: dict[str, Cell]) -> None:
    alter(cells["kp"].id, "places", {"plugins": ["/absent/rules.py"]})
    said = asapbench("resume", "--slots", "1")
    assert (said.status, said.err) == (0, "")
    assert f"Loading the plug-in /absent/rules.py: {DB} records that cells were run with it" in said.out
    assert "there is no such plug-in file" in said.out


def test_a_named_suite_with_an_unfinished_cell_that_cannot_be_read_is_an_error(
    asapbench: Commands, cells: dict[str, Cell]
) -> None:
    alter(cells["fa"].id, "rule", {"name": "theirs"})
    said = asapbench("resume", "mine")
    assert said.status == 2
    assert 'suite "mine": Left out: cells whose rule' in said.err
    said = asapbench("resume")
    assert said.status == 1, "without a name, resume trains the other suites"
    assert "1 cell left out: mine: its rule, model or data set is not installed; --plugin loads one" in said.out
    assert asapbench("resume", "--only", "rule=bp").status == 0, "these cells are done"


def test_a_run_of_the_suites_file_is_not_stopped(asapbench: Commands, cells: dict[str, Cell]) -> None:
    Path("mine.toml").write_text(TEXT.replace('["bp", "fa", "kp"]', '["bp", "fa"]'))
    said = asapbench("run", "mine.toml", "--slots", "1")
    assert (said.status, said.err) == (0, "")
    assert "Ended: 1 done" in said.out


def test_a_report_keeps_its_marks_of_deviation(asapbench: Commands, cells: dict[str, Cell]) -> None:
    said = asapbench("report", "--suite", "mine")
    assert "epochs 1" in said.out
    assert "deviat" in said.out
    assert "suite file of the run cannot be read" not in said.out
    assert "Left out: cells whose rule" in said.out


@pytest.mark.parametrize("choice", [("--suite", "mine"), ("--only", "rule=bp")])
def test_curves_say_what_is_left_out(asapbench: Commands, cells: dict[str, Cell], choice: tuple[str, str]) -> None:
    said = asapbench("report", "--curves", "train-loss", *choice)
    assert "Left out: cells whose rule" in said.out


def test_the_library_warns_of_what_is_left_out(asapbench: Commands, cells: dict[str, Cell]) -> None:
    with pytest.warns(UserWarning, match="Left out: cells whose rule"):
        found = load_results(DB)
    assert [result.cell.rule.name for result in found] == ["bp"]


@pytest.mark.parametrize("name", ["out.csv", "out.json"])
def test_an_exported_table_says_what_is_left_out(asapbench: Commands, cells: dict[str, Cell], name: str) -> None:
    said = asapbench("export", name)
    assert f"{name}: 1 cell\nLeft out: cells whose rule" in said.out


def test_clean_removes_the_checkpoints_of_a_finished_cell(asapbench: Commands, cells: dict[str, Cell]) -> None:
    for name in ("fa", "kp"):
        folder = Path(f"{DB}.files/checkpoints/{cells[name].id[:20]}/attempt")
        folder.mkdir(parents=True)
        (folder / "00000001.checkpoint").write_bytes(b"x")
    assert asapbench("clean").status == 0
    left = {path.name for path in Path(f"{DB}.files/checkpoints").iterdir()}
    assert left == {cells["fa"].id[:20]}


def test_a_recipe_key_of_a_later_version_makes_a_cell_unreadable_and_not_another_cell(
    asapbench: Commands, cells: dict[str, Cell]
) -> None:
    alter(cells["fa"].id, "mixup", 0.2)
    said = asapbench("resume")
    assert said.status == 1
    assert "nothing to train" in said.out


def test_a_list_does_not_call_left_out_what_it_lists(asapbench: Commands, cells: dict[str, Cell]) -> None:
    said = asapbench("list").out
    assert cells["kp"].short in said
    assert "Left out" not in said
    assert "Listed by their label alone: cells whose rule, model or data set is not installed" in said
