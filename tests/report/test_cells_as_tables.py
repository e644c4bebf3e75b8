"""A row a cell, with what it ran on, as CSV and JSON."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest

from asapbench.errors import AsapbenchError
from asapbench.metrics import EpochMetrics
from asapbench.report.cells import write_cells
from asapbench.store import OwnerProcess, Provenance, Store
from asapbench.suite.catalog import CATALOG
from asapbench.suite.load import load

CELLS = load("quickstart").cells[:3]
ONE = Provenance("0123abc", False, {"torch": "2.14.1"}, {"processor": "=EPYC", "cores": 2})
OTHER = Provenance(None, None, {"torch": "2.13.0"}, {"processor": "Xeon", "gpus": ["H100", "H100"]})


def an_epoch(number, accuracy, loss=1.5):
    return EpochMetrics(number, loss, 0.5, loss, accuracy, None, None, 0.03, 2.0, 719.0, None)


@pytest.fixture
def store(tmp_path):
    with Store.open(str(tmp_path / "x.sqlite")) as made:
        made.record_suite("quickstart", "shipped", CELLS)
        for cell, provenance, loss in zip(CELLS, (ONE, OTHER), (1.5, math.nan), strict=False):
            claim = made.claim(cell, owner=OwnerProcess("a-host", "b", 4, 1.0), provenance=provenance, device="cpu")
            made.record_epochs(claim, [an_epoch(1, 0.75), an_epoch(2, 0.625, loss)])
            made.finish(claim, "done" if loss == 1.5 else "diverged")
        yield made


def written(store, path, *, anonymous=False, force=False, suites=(), filters=()):
    assert write_cells(path, store, suites=suites, filters=filters, anonymous=anonymous, force=force)
    return path.read_text(encoding="utf-8")


def test_csv_has_one_row_for_each_trained_cell_with_accuracies_and_provenance(store, tmp_path):
    rows = {row["cell"]: row for row in csv.DictReader(written(store, tmp_path / "x.csv").splitlines())}
    assert rows.keys() == {cell.id for cell in CELLS[:2]}
    first, second = (rows[cell.id] for cell in CELLS[:2])
    assert (first["short_id"], first["group_id"]) == (CELLS[0].short, CELLS[0].group)
    assert (first["label"], first["seed"], first["state"]) == (CELLS[0].label, str(CELLS[0].seed), "done")
    assert (first["last_test_accuracy"], first["best_test_accuracy"], first["best_test_epoch"]) == (
        "0.625",
        "0.75",
        "1",
    )
    assert (first["host"], first["commit"], first["versions.torch"]) == ("a-host", "0123abc", "2.14.1")
    assert (first["hardware.cores"], first["hardware.gpus"]) == ("2", "")
    assert (second["state"], second["commit"], second["hardware.gpus"]) == ("diverged", "", "H100; H100")


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("batch_size", {"batch_size": 64}),
        ("schedule", {"schedule": CATALOG["schedule"]["constant"].choose()}),
        ("augment", {"augment": "crop_flip"}),
        ("validation", {"validation": 100}),
        ("precision", {"precision": "bf16"}),
        ("optimizer.beta1", {"optimizer": CATALOG["optimizer"]["adam"].choose({"beta1": 0.99999999})}),
        ("rule.k", {"rule": CATALOG["rule"]["asap"].choose({"k": 4})}),
        ("model.width", {"model": CATALOG["model"]["resnet10"].choose({"width": 4})}),
    ],
)
def test_cells_that_differ_in_any_setting_differ_in_its_column(tmp_path, column, change):
    base = replace(CELLS[0], rule=CATALOG["rule"]["asap"].choose(), optimizer=CATALOG["optimizer"]["adam"].choose())
    cells = [base, replace(base, **change)]
    with Store.open(str(tmp_path / "x.sqlite")) as store:
        store.record_suite("mine", "mine.toml", cells)
        for cell in cells:
            claim = store.claim(cell, owner=OwnerProcess("a-host", "b", 4, 1.0), provenance=ONE, device="cpu")
            store.record_epochs(claim, [an_epoch(1, 0.75)])
            store.finish(claim, "done")
        rows = list(csv.DictReader(written(store, tmp_path / "x.csv").splitlines()))
        cells = json.loads(written(store, tmp_path / "x.json"))["cells"]
    assert len({row[column] for row in rows}) == 2
    assert len({cell[column] for cell in cells}) == 2


def test_a_spreadsheet_reads_no_text_as_a_formula(store, tmp_path):
    rows = list(csv.DictReader(written(store, tmp_path / "x.csv").splitlines()))
    assert {row["hardware.processor"] for row in rows} == {"'=EPYC", "Xeon"}


def test_json_has_configuration_and_curve_and_no_nan(store, tmp_path):
    cells = {cell["cell"]: cell for cell in json.loads(written(store, tmp_path / "x.json"))["cells"]}
    first, second = (cells[cell.id] for cell in CELLS[:2])
    assert first["configuration"] == CELLS[0].to_json()
    assert [epoch["test_accuracy"] for epoch in first["curve"]] == [0.75, 0.625]
    assert [epoch["train_loss"] for epoch in second["curve"]] == [1.5, None]


def test_cells_are_chosen_and_hosts_blanked_as_in_a_database(store, tmp_path):
    text = written(
        store, tmp_path / "x.json", suites=["quickstart"], filters=[f"cell={CELLS[0].short}"], anonymous=True
    )
    [cell] = json.loads(text)["cells"]
    assert (cell["cell"], cell["host"]) == (CELLS[0].id, "")
    assert "a-host" not in text


def test_a_file_is_replaced_only_by_force(store, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("precious")
    with pytest.raises(AsapbenchError, match=r"x\.csv exists already"):
        written(store, path)
    assert path.read_text() == "precious"
    assert written(store, path, force=True).startswith("cell,short_id,group_id,label")


def test_an_impossible_place_is_named_by_its_path_alone(store, tmp_path):
    with pytest.raises(AsapbenchError, match="there is no directory") as error:
        written(store, tmp_path / "absent" / "x.csv")
    assert "--out" not in str(error.value)
