"""What the page shows of cells: a command that makes each again, reasons, discards, and times by hardware."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from page_results import H100, XEON, an_epoch, claimed, of_rules, with_results

from asapbench.analysis import shortcut
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.metrics import Measurement
from asapbench.report.page import page
from asapbench.report.page.cells import CellRow, rows
from asapbench.report.page.charts import charts
from asapbench.report.page.content import Content, read
from asapbench.report.page.environments import environments
from asapbench.report.page.speed import paces
from asapbench.report.page.tables import paper_tables, suite_tables
from asapbench.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load
from asapbench.suite.options import Choice
from asapbench.suite.select import choose


def rows_of(content: Content) -> dict[str, CellRow]:
    _, of_cells = environments(content)
    return {row.id: row for row in rows(content, of_cells, option=" --db x")}


def made_by(command: str) -> list[Cell]:
    """The cells that the words of a command choose."""
    words = shlex.split(command)
    assert words[:2] == ["asapbench", "run"]
    options: dict[str, list[str]] = {}
    for name, value in itertools.pairwise(words):
        if name.startswith("--") and not value.startswith("--"):
            options.setdefault(name, []).append(value)
    seeds = options.get("--seeds", [None])[0]
    chosen = choose([load(words[2]).cells], filters=options["--only"], settings=options.get("--set", ()), seeds=seeds)
    return chosen[0]


def with_cells(url: str, *cells: Cell) -> str:
    """A database of a suite whose file has no such cells."""
    with Store.open(url) as store:
        store.record_suite("quickstart", "quickstart.toml", cells, text=load("quickstart").text)
    return url


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.sqlite"


def test_a_command_makes_its_cell_and_no_other(trained: str, cells: list[Cell]) -> None:
    found = rows_of(read(trained))
    for cell in cells:
        assert made_by(found[cell.short].command) == [cell]


def test_a_command_names_what_was_set_beside_the_suite_file(url: str) -> None:
    (first, *_) = of_rules("asap")
    rule = Choice("asap", tuple((name, 4 if name == "k" else value) for name, value in first.rule.options))
    cell = replace(first, rule=rule, epochs=3, lr=0.5).with_seed(7)
    row = rows_of(read(with_cells(url, cell)))[cell.short]
    assert made_by(row.command) == [cell]
    assert "--set rule.k=4" in row.command
    assert (row.state, row.last) == ("pending", "-")


def test_a_cell_that_its_suite_file_cannot_make_is_run_from_the_database(url: str) -> None:
    cell = replace(of_rules("bp")[0], model=Choice("alexnet", load("cifar10").cells[0].model.options))
    command = rows_of(read(with_cells(url, cell)))[cell.short].command
    assert command == f"asapbench rerun --only cell={cell.short} --db x"


def test_discarded_cells_have_a_command_that_needs_no_database(url: str) -> None:
    cell, *_ = of_rules("bp", "asap")
    with Store.open(with_results(url, of_rules("bp", "asap"))) as store:
        store.discard([cell.id], "a broken fan")
    row = rows_of(read(url))[cell.short]
    assert made_by(row.command) == [cell]
    assert not row.needs_database


def test_what_needs_the_database_is_marked_and_names_no_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/away/mine.sqlite"
    (tmp_path / "away").mkdir()
    cells = of_rules("bp")
    with_results(url, cells, text="[suite]\n")
    said: list[str] = []
    html = page(url, say=said.append)
    assert html.count("needs this database") == len(cells)
    assert "needs this database" not in html[: html.index("</thead>", html.index('id="cell-table"'))]
    assert f"asapbench rerun --only cell={cells[0].short} --db mine.sqlite" in html
    assert "Some commands need this database" in html
    assert str(tmp_path) not in html
    assert len(said) == 1
    assert said[0].startswith("quickstart: The suite file of the run cannot be read here (")
    assert said[0].endswith(" Commands that need this database: 3.")


def test_failed_and_diverged_cells_have_their_reason(trained: str) -> None:
    found = [row for row in rows_of(read(trained)).values() if row.ended_badly]
    assert {(row.state, row.reason) for row in found} == {
        ("diverged", "epoch 2: the training loss is not finite"),
        ("failed", "RuntimeError: <b>no</b> kernel"),
    }
    assert all("the end of the log" in row.details for row in found if row.state == "failed")


def test_discarded_cells_are_listed_with_the_reason_and_in_no_table(url: str) -> None:
    cells = of_rules("bp", "asap")
    with Store.open(with_results(url, cells)) as store:
        store.discard([cells[0].id], "a broken fan")
    content = read(url)
    row = rows_of(content)[cells[0].short]
    assert (row.state, row.reason, row.ended_badly) == ("discarded", "a broken fan", True)
    (table,) = suite_tables(content, option="")
    assert {number.n for number in table.numbers} == {2, 3}
    assert any("1 discarded cell left out" in note.text for note in table.notes)


def test_times_of_different_hardware_are_never_pooled(url: str) -> None:
    cells = of_rules("bp")
    with Store.open(url) as store:
        store.record_suite("quickstart", "quickstart.toml", cells)
        for cell, ran, device in zip(cells, (XEON, H100, XEON), ("cpu", "cuda GPU-1", "cpu"), strict=True):
            claim = claimed(store, cell, provenance=ran, device=device)
            store.record_epochs(claim, [an_epoch(1, 0.9, seconds=1.0 if ran is H100 else 9.0)])
            store.finish(claim, "done")
    found = {one.hardware: (one.seconds, one.epochs) for one in paces(read(url))}
    assert found == {
        "Xeon, 2 cores, torch 2.14.1": ((9.0, 9.0, 9.0), 2),
        "H100, torch 2.14.1": ((1.0, 1.0, 1.0), 1),
    }


def test_filters_choose_cells_tables_and_charts(trained: str, cells: list[Cell]) -> None:
    content = read(trained, suites=["quickstart"], filters=["rule=bp,fa", "seed=1"])
    wanted = {cell.id for cell in cells if cell.rule.name in ("bp", "fa") and cell.seed == 1}
    assert {cell.id for cell in content.cells} == wanted == {one.result.cell.id for one in content.trained}
    (table,) = suite_tables(content, option="")
    assert [column.title for column in table.columns] == ["Model", "BP", "FA"]
    with pytest.raises(SuiteError, match='no cell has rule "dfa"'):
        read(trained, filters=["rule=dfa"])
    with pytest.raises(AsapbenchError, match=r"^svhn: the database holds nothing of suite"):
        read(trained, suites=["svhn"])


def test_the_papers_tables_are_shown_where_something_of_them_is_measured(url: str, trained: str) -> None:
    assert paper_tables(read(trained), option="") == []
    cell = next(cell for cell in load("cifar10").cells if cell.rule.name == "bp")
    with Store.open(url) as store:
        store.record_suite("cifar10", "cifar10.toml", [cell])
        claim = claimed(store, cell)
        store.record_epochs(claim, [an_epoch(1, 0.95)])
        store.finish(claim, "done")
    assert "Table 1" in [table.title[:7] for table in paper_tables(read(url), option="")]
    assert "95.00" in page(url)


def test_a_database_without_cells_is_an_error(url: str) -> None:
    Store.open(url).close()
    with pytest.raises(AsapbenchError, match="holds no cell that can be read: run a suite first"):
        page(url)


def test_a_measured_shortcut_effect_is_a_table(url: str) -> None:
    with_results(url, of_rules("bp"))
    quantities = (shortcut.ANGLE, shortcut.ANGLE_OF_G1, *shortcut.LENGTHS)
    with Store.open(url) as store:
        for one in store.results():
            rows = [Measurement("stages.0.0.conv1", name, value=40.0, spread=1.0, n=8) for name in quantities]
            store.record_measurements(shortcut.NAME, one.attempt.id, rows, XEON)
    assert [table.title for table in paper_tables(read(url), option="")] == ["Figure 10. The shortcut effect"]


def test_a_rule_has_the_same_look_in_each_panel(url: str) -> None:
    (bp, *_) = of_rules("bp")
    wider = Choice(bp.model.name, tuple((name, 12 if name == "width" else value) for name, value in bp.model.options))
    with Store.open(with_results(url, [bp])) as store:
        for rate in (0.5, 0.1):
            cell = replace(bp, model=wider, lr=rate)
            store.record_suite("wider", "wider.toml", [cell], text="")
            claim = claimed(store, cell)
            store.record_epochs(claim, [an_epoch(1, 0.5)])
            store.finish(claim, "done")
    looks = [item["look"] for chart in charts(read(url)) if chart.id == "learning" for item in chart.items]
    assert len(looks) == 3
    assert looks[0] == looks[1]
    assert looks[1] != looks[2]
