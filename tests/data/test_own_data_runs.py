"""Cells on a user's own data: trained, found again by content wherever the data are, and exported without paths."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from in_process import Said, asapbench
from own_data import arrays, write_data, write_images, write_suite

from asapbench.errors import DataError
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

TWO = 'name = "imagefolder", path = "pets", size = 8'


def _said(*arguments: str, status: int = 0) -> Said:
    said = asapbench(*arguments)
    assert said.status == status, said.out + said.err
    return said


def _cell(folder: Path, dataset: str = TWO) -> Cell:
    [cell] = load(str(write_suite(folder, dataset))).cells
    return cell


def _configs(path: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as connection:
        return [json.loads(config) for (config,) in connection.execute("SELECT config FROM cell")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with images in `pets`, arrays in `x.npz`, and no other data or database."""
    write_data(tmp_path, monkeypatch)
    return tmp_path


def test_a_folder_and_a_file_are_trained_on_and_reported_by_their_names(place: Path) -> None:
    (place / "both.toml").write_text(
        '[suite]\nname = "both"\n[[grid]]\nmodel = "mlp"\nrule = "bp"\nlr = 0.03\nepochs = 1\nbatch_size = 8\n'
        f'dataset = [{{ {TWO} }}, {{ name = "npz", path = "x.npz", label = "Gauss" }}]\n'
    )
    run = _said("run", "both.toml", "--slots", "1", "--keep-weights")
    assert "Ended: 2 done" in run.out
    report = _said("report", "--suite", "both").out
    pets, gauss = (cell.dataset.text("content")[:8] for cell in load("both.toml").cells)
    assert f"ImageFolder(pets, content={pets}, size=8)" in report
    assert f"Npz(Gauss, content={gauss})" in report
    assert "2 done" in _said("run", "both.toml", "--dry-run").out
    assert "1 done" in _said("run", "both.toml", "--only", "dataset.label=Gauss", "--dry-run").out
    for cell in load("both.toml").cells:
        assert cell.label in _said("evaluate", cell.short).out


def test_the_same_content_at_another_path_is_the_same_cell(place: Path) -> None:
    before = _cell(place)
    (place / "pets").rename(place / "animals")
    after = _cell(place, TWO.replace("pets", "animals"))
    named = _cell(place, TWO.replace('"pets"', '"animals", label = "Pets"'))
    assert before.id == after.id == named.id
    assert before == after
    assert (before.label[:17], named.label[:17]) == ("ImageFolder(pets,", "ImageFolder(Pets,")
    assert "animals" not in json.dumps(after.to_json())


@pytest.mark.parametrize("how", ["pixels", "split", "class", "more"])
def test_other_content_is_another_cell(how: str, place: Path) -> None:
    before = _cell(place)
    images = place / "pets" / "cat"
    if how == "pixels":
        (images / "00.png").write_bytes((images / "01.png").read_bytes())
    elif how == "split":
        (images / "09.png").rename(images / "00a.png")
    elif how == "class":
        (images / "00.png").rename(place / "pets" / "dog" / "00a.png")
    else:
        (images / "10.png").write_bytes((images / "01.png").read_bytes())
    after = _cell(place)
    assert before.id != after.id
    assert before.dataset["content"] != after.dataset["content"]


def test_files_are_read_once_and_again_only_when_one_has_changed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asapbench.data.sets.imagefolder import ImageFolder

    cell = _cell(place)
    (place / "pets" / "cat" / "00.png").touch()
    assert _cell(place).id == cell.id
    monkeypatch.setattr(ImageFolder, "found", lambda *_: pytest.fail("the images were read again"))
    assert _cell(place).id == cell.id


def test_a_moved_folder_is_found_by_a_run_or_by_set_and_resumed(place: Path) -> None:
    suite = str(write_suite(place, TWO))
    _said("run", suite, "--slots", "1", "--set", "epochs=2", "--time-limit", "0.01s", status=3)
    (place / "pets").rename(place / "moved")
    gone = _said("resume", status=2)
    assert f"{place}/pets: there is no such folder: correct the path" in gone.err
    _said("run", suite, "--set", "epochs=2", "--set", f"dataset.path={place}/moved", "--dry-run")
    (place / "moved").rename(place / "again")
    found = _said("run", suite, "--set", "epochs=2", "--set", "dataset.path=again", "--slots", "1")
    assert "Ended: 1 done" in found.out
    assert _configs(place / "results/asapbench.sqlite")[0]["places"] == {"dataset": {"path": str(place / "again")}}


def test_changed_data_are_refused_before_a_cell_is_resumed(place: Path) -> None:
    suite = str(write_suite(place, TWO))
    cell = _cell(place)
    _said("run", suite, "--slots", "1", "--time-limit", "0.01s", "--set", "epochs=2", status=3)
    write_images(place / "other", seed=5)
    (place / "other/cat/03.png").replace(place / "pets/cat/03.png")
    changed = _said("resume", status=2)
    assert f"{place}/pets: the data have changed since this cell was made (their content is " in changed.err
    assert (
        f"the cell's {cell.dataset.text('content')[:8]}): put the earlier files back, or run the suite" in changed.err
    )


def test_a_report_compares_with_the_suite_as_it_was_run_and_reads_no_data(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asapbench.data.sets.imagefolder import ImageFolder

    _said("run", str(write_suite(place, TWO)), "--slots", "1")
    (place / "pets").rename(place / "moved")
    monkeypatch.setattr(ImageFolder, "sources", lambda *_: pytest.fail("the folder was looked at"))
    report = _said("report", "--suite", "mine")
    assert "ImageFolder(pets, content=" in report.out
    assert "cannot read" not in report.out
    assert "deviat" not in report.out


def test_another_file_of_the_suites_name_is_compared_by_recorded_data(place: Path) -> None:
    _said("run", str(write_suite(place, TWO)), "--slots", "1")
    (place / "sub").mkdir()
    same = str(write_suite(place / "sub", TWO.replace('"pets"', '"../pets"')))
    assert "another file of this name" not in _said("run", same, "--dry-run").out
    other = str(write_suite(place / "sub", TWO.replace('"pets"', '"../pets", channels = 1')))
    assert "another file of this name" in _said("run", other, "--dry-run").out


def test_a_text_in_a_database_makes_no_command_read_files(place: Path) -> None:
    _said("run", str(write_suite(place, TWO)), "--slots", "1")
    with closing(sqlite3.connect(place / "results/asapbench.sqlite")) as connection, connection:
        text = write_suite(place, f'name = "npz", path = "{place}/x.npz"').read_text()
        connection.execute("UPDATE suite SET text = ?", (text,))
    assert "suite file of the run cannot be read" in _said("report", "--suite", "mine").out


def test_exports_and_merges_hold_the_content_and_the_label_but_no_path(place: Path) -> None:
    (place / "secret").mkdir()
    (place / "pets").rename(place / "secret" / "pets")
    suite = str(write_suite(place, f'{TWO.replace("pets", "secret/pets")}, label = "Pets"'))
    _said("run", suite, "--slots", "1")
    for options in ([], ["--anonymous"]):
        _said("export", "out.sqlite", "--force", *options)
        content = (place / "out.sqlite").read_bytes()
        assert b"secret" not in content
        assert b"ImageFolder(Pets, content=" in content
    _said("merge", "out.sqlite", "--db", "merged.sqlite")
    _said("merge", "results/asapbench.sqlite", "--db", "merged.sqlite")  # the same cell: no conflict
    [config] = _configs(place / "merged.sqlite")
    assert "places" not in config
    assert "ImageFolder(Pets, content=" in _said("report", "--suite", "mine", "--db", "merged.sqlite").out
    unknown = _said("rerun", "mine", "--db", "merged.sqlite", status=2)
    assert "are on this machine: name it in the suite, or with --set dataset.path=PATH" in unknown.err
    _said("run", suite, "--db", "merged.sqlite")  # nothing to train; the path is known again
    assert "places" in _configs(place / "merged.sqlite")[0]


def test_an_unnamed_folder_leaves_no_trace_in_an_export(place: Path) -> None:
    (place / "pets").rename(place / "secret")
    _said("run", str(write_suite(place, TWO.replace("pets", "secret"))), "--slots", "1")
    _said("export", "out.sqlite")
    content = (place / "out.sqlite").read_bytes()
    assert b"secret" not in content
    assert b"ImageFolder(content=" in content
    for table in ("out.csv", "out.json"):
        _said("export", table)
        text = (place / table).read_text()
        assert "secret" not in text
        assert "ImageFolder(content=" in text


def test_a_worker_refuses_data_that_change_while_they_are_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asapbench.data.images import load as load_images
    from asapbench.data.sets.npz import Npz

    cell = _cell(place, 'name = "npz", path = "x.npz"')
    np.savez(place / "x.npz", **arrays() | {"x_test": np.ones((10, 5))})
    monkeypatch.setattr(Npz, "check", lambda *_: None)
    with pytest.raises(DataError, match="the data change while they are read"):
        load_images(cell.dataset, place / "data")
