"""A suite's report has the title of the file that was run, and is compared with that file."""

from pathlib import Path

import pytest

from asapbench.metrics import EpochMetrics
from asapbench.report.build import by_epoch_report, report
from asapbench.report.quantity import Quantity, Wanted
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.store.untrusted_import import opened
from asapbench.suite.load import load
from asapbench.suite.select import choose

HEAD = '[suite]\nname = "{name}"\ntitle = "My own title"\n[defaults]\ndataset = "digits"\nmodel = "resnet10"\n'
GRID = '[[grid]]\nrule = ["bp", "fa"]\nlr = {lr}\nepochs = {epochs}\n'
WHERE = Provenance(None, None, {"torch": "2.14.1"}, {"processor": "Xeon"})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.sqlite"


def written(folder: Path, *, name: str = "own", lr: float = 0.01, epochs: int = 1) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(HEAD.format(name=name) + GRID.format(lr=lr, epochs=epochs), encoding="utf-8")
    return path


def run(url: str, file: str, *settings: str) -> None:
    """What `asapbench run` records, with one epoch of each cell."""
    suite = load(file)
    cells = choose([suite.cells], settings=settings)[0]
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, cells, text=suite.text)
        for cell in cells:
            claim = store.claim(cell, owner=OwnerProcess("a-host", "b", 4, 1.0), provenance=WHERE, device="cpu")
            store.record_epochs(claim, [EpochMetrics(1, 1.0, 0.5, 1.0, 0.5, None, None, 0.1, 1.0, 100.0, None)])
            store.finish(claim, "done")


def test_an_own_suite_keeps_its_title_when_it_is_named_and_its_file_is_gone(tmp_path: Path, url: str) -> None:
    path = written(tmp_path)
    run(url, str(path))
    path.unlink()
    assert report(Wanted(suite="own"), url=url).title == "My own title (suite own)"
    curves = by_epoch_report(Quantity.ACCURACY, url=url, suite="own")
    assert curves.table.title == "My own title, learning curves"


def test_the_title_goes_with_an_export_and_a_merge(tmp_path: Path, url: str) -> None:
    run(url, str(written(tmp_path)))
    with Store.read_only(url) as store:
        store.export(tmp_path / "out.sqlite")
    other = f"sqlite:///{tmp_path}/other.sqlite"
    with Store.open(other) as store, opened([tmp_path / "out.sqlite"]) as databases:
        store.merge(databases)
    assert report(Wanted(suite="own"), url=other).title == "My own title (suite own)"


def test_a_suite_named_like_a_shipped_one_is_compared_with_the_file_that_was_run(tmp_path: Path, url: str) -> None:
    run(url, str(written(tmp_path, name="quickstart")))
    table = report(Wanted(suite="quickstart"), url=url)
    assert table.title == "My own title (suite quickstart)"
    assert not any("deviates" in note.text for note in table.notes)
    assert table.notes[0].text == (
        "The shipped suite quickstart has other cells than the file of the run (quickstart.toml): rows are compared "
        "with the file of the run. To run its current cells:"
    )


def test_what_was_set_for_a_run_still_deviates_from_its_file(tmp_path: Path, url: str) -> None:
    run(url, str(written(tmp_path)), "epochs=2")
    table = report(Wanted(suite="own"), url=url)
    assert table.notes[0].text == "deviates from the suite file: epochs 2 instead of 1"


def test_a_file_that_was_changed_since_is_said_and_not_compared_with(tmp_path: Path, url: str) -> None:
    path = written(tmp_path)
    run(url, str(path))
    written(tmp_path, lr=0.5)
    table = report(Wanted(suite=str(path)), url=url)
    assert not any("deviates" in note.text for note in table.notes)
    assert "has other cells than the file of the run (own.toml)" in table.notes[0].text


def test_a_shipped_suite_that_was_run_has_no_such_note(url: str) -> None:
    run(url, "quickstart")
    table = report(Wanted(suite="quickstart"), url=url)
    assert table.title == "Quickstart: 8x8 digits (suite quickstart)"
    assert not table.notes


def test_a_file_that_this_version_cannot_read_is_said(url: str) -> None:
    with Store.open(url) as store:
        store.record_suite("own", "own.toml", load("quickstart").cells, text="[suite]\nname = 1\n")
    table = report(Wanted(suite="own"), url=url)
    assert table.title == "own"
    assert table.notes[0].text.startswith("The suite file of the run cannot be read here (")


def test_a_suite_of_an_older_database_is_compared_with_the_shipped_file_as_before(url: str) -> None:
    with Store.open(url) as store:
        store.record_suite("quickstart", "shipped", load("quickstart").cells)
    assert report(Wanted(suite="quickstart"), url=url).title == "Quickstart: 8x8 digits (suite quickstart)"


@pytest.mark.parametrize("lr", [0.01, 0.5])
def test_the_title_of_the_file_that_is_named_counts(lr: float, tmp_path: Path, url: str) -> None:
    path = written(tmp_path)
    run(url, str(path))
    written(tmp_path, lr=lr)
    path.write_text(path.read_text(encoding="utf-8").replace("My own title", "A corrected title"), encoding="utf-8")
    assert report(Wanted(suite=str(path)), url=url).title == "A corrected title (suite own)"
    assert by_epoch_report(Quantity.ACCURACY, url=url, suite=str(path)).table.title.startswith("A corrected title, ")
    assert report(Wanted(suite="own"), url=url).title == "My own title (suite own)"


def test_a_shipped_suite_whose_title_changed_since_has_its_title_of_today(url: str) -> None:
    shipped = load("quickstart")
    with Store.open(url) as store:
        text = shipped.text.replace(shipped.title, "The title of an earlier version")
        assert text != shipped.text
        store.record_suite("quickstart", shipped.source, shipped.cells, text=text)
    assert report(Wanted(suite="quickstart"), url=url).title == f"{shipped.title} (suite quickstart)"


def test_the_file_that_is_named_gives_the_title_where_the_recorded_one_cannot_be_read(tmp_path: Path, url: str) -> None:
    path = written(tmp_path)
    with Store.open(url) as store:
        store.record_suite("own", "own.toml", load(str(path)).cells, text="[suite]\nname = 1\n")
    table = report(Wanted(suite=str(path)), url=url)
    assert table.title == "My own title (suite own)"
    assert table.notes[0].text.startswith("The suite file of the run cannot be read here (")
