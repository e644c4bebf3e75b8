"""`list` shows one line for each cell: state, accuracy, epochs, time and age, in the order and number asked for."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from commands import Commands

from asapbench.metrics import EpochMetrics
from asapbench.report.listing import Wanted, cells_table
from asapbench.store import DEFAULT_URL, OwnerProcess, Provenance, Store
from asapbench.suite.load import load, parse

CELLS = [replace(cell, validation=100) for cell in load("quickstart").cells[:5]]
PROVENANCE = Provenance(None, None, {"torch": "2.14.1"}, {})
DEAD = replace(OwnerProcess.of_this_process(), pid_started=1.0)


def an_epoch(number: int, test: float, validation: float | None = None, seconds: float = 2.0) -> EpochMetrics:
    loss = None if validation is None else 1.5
    return EpochMetrics(number, 1.5, 0.5, 1.5, test, loss, validation, 0.03, seconds, 9.0, None)


@pytest.fixture
def filled(asapbench: Commands) -> Commands:
    """Done, failed, running, of a dead run, and pending."""
    with Store.open(DEFAULT_URL) as store:
        store.record_suite("mine", "mine.toml", CELLS)
        for number, (cell, state) in enumerate(zip(CELLS, ("done", "failed", None, None), strict=False)):
            owner = DEAD if number == 3 else OwnerProcess.of_this_process()
            claim = store.claim(cell, owner=owner, provenance=PROVENANCE, device="cpu")
            assert claim is not None
            store.record_epochs(claim, [an_epoch(1, 0.25), an_epoch(2, 0.5 + number / 8, 0.75, 60.0 * number + 1)])
            if state is not None:
                store.finish(claim, state)
    return asapbench


def rows_of(said: str) -> dict[str, dict[str, str]]:
    return {row["cell"]: row for row in csv.DictReader(said.splitlines())}


def test_a_cell_is_one_line_with_state_accuracies_epochs_time_and_what_it_differs_in(filled: Commands) -> None:
    lines = filled("list").out.splitlines()
    by_cell = {line.split()[0]: line.split("  ") for line in lines if line.strip()}
    fields = [text.strip() for text in by_cell[CELLS[0].short] if text.strip()]
    assert fields[:6] == [CELLS[0].short, "done", "50.00", "75.00", f"2/{CELLS[0].epochs}", "3 s"]
    found = [next(word for word in by_cell[cell.short][1:] if word.strip()).strip() for cell in CELLS]
    assert found == ["done", "failed", "running", "interrupted", "pending"]
    assert lines[0].startswith("Digits, ")
    assert not any("Digits" in line for line in lines[1:])


def test_csv_and_json_have_a_record_for_each_cell(filled: Commands) -> None:
    records = rows_of(filled("list", "--format", "csv").out)
    assert records.keys() == {cell.id for cell in CELLS}
    one = records[CELLS[1].id]
    assert (one["short_id"], one["group_id"], one["state"]) == (CELLS[1].short, CELLS[1].group, "failed")
    assert (one["test_accuracy"], one["validation_accuracy"], one["seconds"]) == ("0.625", "0.75", "63.0")
    assert records[CELLS[4].id]["test_accuracy"] == ""
    content = json.loads(filled("list", "--format", "json").out)
    assert [record["cell"] for record in content["records"]] == [cell.id for cell in CELLS]


def test_a_list_without_cells_has_the_columns_and_no_record(filled: Commands) -> None:
    header = filled("list", "--format", "csv").out.splitlines()[0]
    assert filled("list", "--state", "diverged", "--format", "csv").out.splitlines() == [header]
    assert json.loads(filled("list", "--state", "diverged", "--format", "json").out)["records"] == []


def test_only_and_state_choose_and_suites_have_their_own_order(filled: Commands) -> None:
    with Store.open(DEFAULT_URL) as store:
        store.record_suite("other", "other.toml", [CELLS[3], CELLS[0]])
    listed = list(rows_of(filled("list", "other", "--format", "csv").out))
    assert listed == [CELLS[3].id, CELLS[0].id]
    states = rows_of(filled("list", "--state", "failed,running", "--state", "pending", "--format", "csv").out)
    assert {row["state"] for row in states.values()} == {"failed", "running", "pending"}
    only = rows_of(filled("list", "--only", f"cell={CELLS[2].short}", "--format", "csv").out)
    assert list(only) == [CELLS[2].id]
    seeded = rows_of(filled("list", "--only", f"seed={CELLS[0].seed}", "--format", "csv").out)
    assert {row["seed"] for row in seeded.values()} == {str(CELLS[0].seed)}
    assert filled("list", "--only", "rule=nothing").status == 2
    assert "no state is called" in filled("list", "--state", "don").err


@pytest.mark.parametrize(
    ("sort", "first", "last_known"),
    [("accuracy", 3, 0), ("time", 3, 0), ("cell", None, None), ("state", 4, None), ("epochs", None, 4)],
)
def test_sorting_puts_the_largest_first_and_what_is_unknown_last(filled, sort, first, last_known) -> None:
    listed = list(rows_of(filled("list", "--sort", sort, "--format", "csv").out))
    other = list(rows_of(filled("list", "--sort", sort, "--reverse", "--format", "csv").out))
    if sort == "cell":
        assert listed == sorted(listed) == other[::-1]
    if first is not None:
        assert listed[0] == CELLS[first].id
    if sort in ("accuracy", "time"):
        assert listed[-1] == other[-1] == CELLS[4].id  # it has no value
        assert other[0] == CELLS[last_known].id


def test_a_sweep_on_one_network_is_not_in_the_labels_of_another(asapbench: Commands, tmp_path) -> None:
    grids = '[[grid]]\nmodel = "resnet10"\nlr = 0.1\n[[grid]]\nmodel = "resnet18"\nlr = [0.1, 0.01]\n'
    head = '[suite]\nname = "two"\n[defaults]\ndataset = "digits"\nepochs = 1\nrule = ["bp", "fa"]\n'
    suite = parse(f"{head}{grids}", source="two.toml")
    url = f"sqlite:///{tmp_path}/two.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, suite.cells, text=suite.text)
    labels = [line.split("  ")[-1] for line in asapbench("list", "--db", url).out.splitlines() if "pending" in line]
    assert set(labels) == {
        *(f"ResNet-10, {rule}, seed 0" for rule in ("BP", "FA")),
        *(f"ResNet-18, {rule}, lr {lr}, seed 0" for rule in ("BP", "FA") for lr in (0.1, 0.01)),
    }


def test_a_limit_says_how_many_more_there_are(filled: Commands) -> None:
    said = filled("list", "--limit", "2").out
    assert sum(cell.short in said for cell in CELLS) == 2
    assert "3 more cells not shown: --limit 0 lists all." in said
    assert "not shown" not in filled("list", "--limit", "0").out


def test_ls_is_list_and_a_file_gets_the_format_of_its_name(filled: Commands, tmp_path) -> None:
    assert filled("ls", "--format", "csv").out == filled("list", "--format", "csv").out  # ages change, these do not
    filled("list", "--out", "cells.md")
    content = (tmp_path / "cells.md").read_text(encoding="utf-8")
    assert "****" not in content
    assert content.count("\n| ") == 1 + len(CELLS)


def test_a_terminal_of_80_columns_shows_whole_labels_below_each_other(filled: Commands) -> None:
    from asapbench.report.render.terminal import render_terminal

    with Store.read_only(DEFAULT_URL) as store:
        store_cells = cells_table(store, Wanted(), width=80, now=datetime.now(UTC))
    lines = render_terminal(store_cells, width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("seed" in line for line in lines) >= len(CELLS)
    assert len([line for line in lines if line.startswith("cell ")]) == 1  # no second panel


def test_piped_lines_are_not_cut(filled: Commands, tmp_path) -> None:
    wide = [replace(CELLS[0], model=replace(CELLS[0].model), batch_size=2 ** (3 + n)) for n in range(3)]
    with Store.open("sqlite:///wide.sqlite") as store:
        store.record_suite("wide", "wide.toml", [*wide, *load("cifar10").cells[:3], *load("forward_alignment").cells])
    lines = filled("list", "--db", "sqlite:///wide.sqlite").out.splitlines()
    assert sum(line.startswith("cell ") for line in lines) == 1
    assert max(map(len, lines)) > 100


def test_an_empty_database_and_an_empty_choice_say_so(asapbench: Commands) -> None:
    Store.open(DEFAULT_URL).close()
    assert "No cell is recorded yet." in asapbench("list").out
    with Store.open(DEFAULT_URL) as store:
        store.record_suite("mine", "mine.toml", CELLS[:1])
    assert "No cell is in this state." in asapbench("list", "--state", "done").out


def test_a_result_of_an_earlier_revision_is_outdated(filled: Commands, monkeypatch) -> None:
    from asapbench.store.cells import read_config
    from asapbench.suite.catalog import RULES

    read_config.cache_clear()
    rule = CELLS[0].rule.name
    monkeypatch.setitem(RULES, rule, replace(RULES[rule], revision=RULES[rule].revision + 1))
    states = {row["state"] for row in rows_of(filled("list", "--state", "outdated", "--format", "csv").out).values()}
    assert states == {"outdated"}
    read_config.cache_clear()


def test_a_diverged_accuracy_is_missing_not_nan(asapbench: Commands) -> None:
    with Store.open(DEFAULT_URL) as store:
        claim = store.claim(CELLS[0], owner=DEAD, provenance=PROVENANCE, device="cpu")
        assert claim is not None
        store.record_epochs(claim, [an_epoch(1, math.nan)])
        store.finish(claim, "diverged")
    assert rows_of(asapbench("list", "--format", "csv").out)[CELLS[0].id]["test_accuracy"] == ""


def test_digits_are_those_of_accuracies_in_percent(filled: Commands) -> None:
    with Store.open(DEFAULT_URL) as store:
        cell = replace(CELLS[0], lr=0.123)
        store.record_suite("odd", "odd.toml", [cell])
        claim = store.claim(cell, owner=DEAD, provenance=PROVENANCE, device="cpu")
        assert claim is not None
        store.record_epochs(claim, [an_epoch(1, 0.123456789, 0.987654321)])
        store.finish(claim, "done")
    for digits, shown in (("0", ["12", "99"]), ("4", ["12.3457", "98.7654"])):
        (line,) = (line for line in filled("list", "odd", "--digits", digits).out.splitlines() if cell.short in line)
        assert line.split()[2:4] == shown
    row = rows_of(filled("list", "odd", "--digits", "1", "--format", "csv").out)[cell.id]
    assert (row["test_accuracy"], row["validation_accuracy"]) == ("0.123", "0.988")
    row = rows_of(filled("list", "odd", "--format", "csv").out)[cell.id]
    assert row["test_accuracy"] == "0.123456789"
    refused, alone = (filled(*words, "--digits", "13") for words in (["list"], ["report", "--suite", "odd"]))
    assert (refused.status, refused.err.splitlines()[-1]) == (2, alone.err.splitlines()[-1])
