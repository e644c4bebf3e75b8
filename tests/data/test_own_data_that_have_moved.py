"""Own data that have moved: the cells of other data train, and the path can be named or is known from another cell."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from in_process import Said, asapbench
from own_data import HEAD, REST, write_data, write_images

PETS = 'name = "imagefolder", path = "pets", size = 8'
ARRAYS = 'name = "npz", path = "x.npz"'


def _said(*arguments: str, status: int = 0) -> Said:
    said = asapbench(*arguments)
    assert said.status == status, said.out + said.err
    return said


def _suite(name: str, dataset: str) -> str:
    text = f'{HEAD}dataset = {{ {dataset} }}\nmodel = "mlp"\n{REST}'.replace('"mine"', f'"{name}"')
    Path(f"{name}.toml").write_text(text.replace("epochs = 1", "epochs = 2"))
    return f"{name}.toml"


def _paths() -> set[str]:
    with closing(sqlite3.connect("results/asapbench.sqlite")) as connection:
        configs = [json.loads(config) for (config,) in connection.execute("SELECT config FROM cell")]
    return {config["places"]["dataset"]["path"] for config in configs}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: the cells of `pets` and of `x.npz` are started and not done, then `pets` moves to `moved`."""
    write_data(tmp_path, monkeypatch)
    suites = _suite("pets", PETS), _suite("other", ARRAYS)
    _said("run", *suites, "--slots", "1", "--keep-weights", "--time-limit", "0.01s", status=3)
    (tmp_path / "pets").rename(tmp_path / "moved")
    return tmp_path


def test_resume_of_all_suites_trains_the_cells_whose_data_are_there_and_ends_with_1(place: Path) -> None:
    said = _said("resume", "--slots", "1", status=1)
    assert "1 of 1 cell to train" in said.out
    before, _, _ = said.out.partition("Ended: 1 done")
    assert f"cells left out (1): {place}/pets: there is no such folder" in before
    assert (
        f"1 cell left out: {place}/pets: there is no such folder: correct the path, or name it with --set" in said.out
    )
    assert "To retry: asapbench resume --slots 1\n" in said.out
    _said("resume", status=2)  # no other cell is left


def test_resume_of_a_named_suite_whose_data_are_missing_trains_nothing(place: Path) -> None:
    assert "there is no such folder" in _said("resume", "pets", "other", status=2).err


def test_set_says_where_the_data_of_recorded_cells_are(place: Path) -> None:
    assert "To train: 2" in _said("resume", "--set", "dataset.path=moved", "--dry-run").out
    assert "Ended: 2 done" in _said("resume", "--set", "dataset.path=moved", "--slots", "1").out
    assert _paths() == {f"{place}/moved", f"{place}/x.npz"}
    Path("moved").rename("again")
    assert (
        "Ended: 1 done" in _said("rerun", "pets", "--set", "dataset.path=again", "--keep-weights", "--slots", "1").out
    )
    Path("again").rename("last")
    cell = sqlite3.connect("results/asapbench.sqlite").execute("SELECT id FROM cell WHERE dataset = 'imagefolder'")
    [(cell_id,)] = cell.fetchall()
    assert "there is no such folder" in _said("evaluate", cell_id[:10], status=2).err
    assert "ImageFolder(last, " in _said("evaluate", cell_id[:10], "--set", "dataset.path=last").out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("dataset.path=absent", "absent: there is no such folder"),
        ("dataset.path=different", "different: content is "),
        ("lr=0.1", "this would make other cells: recorded ones take dataset.path=PATH and dataset.label=NAME"),
        ("dataset.train_size=5", "this would make other cells"),
        ("dataset.path", "write --set key=value"),
    ],
)
def test_set_refuses_what_would_make_other_cells(change: str, said: str, place: Path) -> None:
    write_images(place / "different", seed=5)
    refused = _said("resume", "pets", "--set", change, status=2)
    assert refused.err.startswith(f"error: --set {change}: ")
    assert said in refused.err


def test_a_path_that_another_cell_has_for_the_same_content_is_used(place: Path) -> None:
    _said("run", _suite("grey", f"{PETS}, channels = 1".replace("pets", "moved")), "--slots", "1")
    assert "Ended: 2 done" in _said("resume", "--slots", "1").out
    assert _paths() == {f"{place}/moved", f"{place}/x.npz"}


def test_a_path_of_another_cell_is_not_used_where_the_content_has_changed(place: Path) -> None:
    _said("run", _suite("grey", f"{PETS}, channels = 1".replace("pets", "moved")), "--slots", "1")
    Path("moved/cat/00.png").unlink()
    assert f"{place}/pets: there is no such folder" in _said("resume", "pets", status=2).err
