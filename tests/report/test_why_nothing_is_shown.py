"""A table or figure that shows nothing of what was run says why in one line."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_up import result, shipped_cell

from asapbench.errors import StoreError
from asapbench.report.build import report
from asapbench.report.figures.matching import dimension_matching
from asapbench.report.forward_alignment import forward_alignment_table
from asapbench.report.paper import accuracy_table
from asapbench.report.quantity import Wanted
from asapbench.report.table import Table
from asapbench.suite.catalog import MODELS
from asapbench.suite.cell import Cell
from asapbench.suite.load import load


def notes(table: Table) -> list[str]:
    return [note.text for note in table.notes]


def narrow(cell: Cell, width: int = 8) -> Cell:
    return replace(cell, model=MODELS[cell.model.name].choose({"width": width}))


def test_a_narrow_network_is_left_out_of_table_5_with_what_sets_it_apart() -> None:
    table = accuracy_table(5, [result(narrow(shipped_cell("cifar10", "resnet18", "local_errors")), 50.0)])
    expected = "1 configuration left out that differs from this table's cells (model.width 8 instead of 64). To show:"
    assert expected in notes(table)


def test_only_the_most_frequent_differences_are_named() -> None:
    cell = shipped_cell("cifar10", "resnet18", "local_errors")
    table = accuracy_table(5, [result(narrow(cell, width), 50.0) for width in (4, 8, 16, 24, 32)])
    (text,) = (text for text in notes(table) if "left out" in text)
    assert text.startswith(
        "5 configurations left out that differ from this table's cells (model.width 4 instead of 64;"
    )
    assert text.endswith("; and 2 more). To show:")


def test_a_database_of_other_networks_is_described() -> None:
    table = accuracy_table(5, [result(cell, 90.0) for cell in load("quickstart").cells])
    (note,) = (note for note in table.notes if note.text.startswith("The database has no result for this table's"))
    assert "BP on Digits, ResNet-10(width=8)" in note.text
    assert note.commands == ("asapbench report --suite NAME",)


def test_a_table_with_numbers_does_not_mention_other_networks() -> None:
    results = [result(cell, 90.0) for cell in (load("quickstart").cells[0], shipped_cell("cifar10", "resnet18", "bp"))]
    assert not any(text.startswith("The database has no result") for text in notes(accuracy_table(5, results)))


def test_figure_9_and_section_a2_name_what_they_leave_out() -> None:
    cell = replace(load("dimension_matching").cells[0], epochs=1)
    (note,) = (note for note in dimension_matching([result(cell, 50.0)]).table.notes if "left out" in note.text)
    assert "this figure's cells (epochs 1 instead of 200)" in note.text
    assert note.commands == ("asapbench report --figure 9 --allow-deviations",)
    cell = replace(load("forward_alignment").cells[0], epochs=1)
    (note,) = (note for note in forward_alignment_table([result(cell, 50.0)]).notes if "left out" in note.text)
    assert "epochs 1 instead of" in note.text
    assert note.commands == ("asapbench report --suite forward_alignment",)


@pytest.mark.parametrize("wanted", [Wanted(table="1"), Wanted(table="A.2"), Wanted(figure=9)], ids=str)
def test_before_there_is_a_database_the_published_numbers_stand_alone(
    wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asapbench.report.figures import Illustration
    from asapbench.store import DEFAULT_URL

    monkeypatch.chdir(tmp_path)
    made = report(wanted, url=DEFAULT_URL)
    table = made.table if isinstance(made, Illustration) else made
    assert "nothing measured yet" in table.caption
    assert not list(tmp_path.iterdir())
    with pytest.raises(StoreError, match="no database at"):
        report(wanted, url="sqlite:///misspelled.sqlite")
