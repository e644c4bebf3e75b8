"""Tables 2, 4 and 5 have the paper's layout, and a shipped cell stands for every printed number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import result

from asapbench.report.paper import ACCURACIES, accuracy_table
from asapbench.report.published import printed_table
from asapbench.suite.catalog import OPTIMIZERS, RULES
from asapbench.suite.cell import Cell


def cell_of(table: int, row: int, column: int) -> Cell:
    reference = printed_table(table).lines[row].numbers[column].reference
    assert reference is not None
    return reference.cell


def texts(table: int, *results, **options) -> list[list[str]]:
    made = accuracy_table(table, results, **options)
    return [[field.text for field in row.fields] for group in made.groups for row in group.rows]


@pytest.mark.parametrize("table", ACCURACIES)
def test_a_shipped_cell_stands_for_every_printed_number(table: int) -> None:
    printed = printed_table(table)
    assert len({reference.cell.id for reference in printed.references}) == len(printed.numbers)


@pytest.mark.parametrize("table", ACCURACIES)
def test_every_cell_has_the_recipe_of_appendix_c(table: int) -> None:
    for cell in (reference.cell for reference in printed_table(table).references):
        assert (cell.epochs, cell.batch_size, cell.schedule.name, cell.precision) == (200, 128, "cosine", "float32")
        assert dict(cell.rule.options).get("k", 2) == 2


def test_table_2_has_asfp_and_asfp_with_local_classifiers_at_asaps_rate() -> None:
    rules = ["bp", "asap", "asfp", "asfp_lc"]
    assert [[cell_of(2, row, column).rule.name for column in range(4)] for row in (0, 1)] == [rules, rules]
    assert {cell_of(2, row, column).lr for row in (0, 1) for column in range(4)} == {3e-2}
    assert any("ASAP's is assumed" in note.text for note in accuracy_table(2, []).notes)


def test_table_5_trains_the_local_baselines_with_adam_and_names_48_as_probable() -> None:
    for row in (0, 1):
        for column in (1, 2, 3):
            cell = cell_of(5, row, column)
            assert (cell.optimizer, cell.lr) == (OPTIMIZERS["adam"].choose({"weight_decay": 0.0}), 5e-3)
    table = accuracy_table(5, [])
    assert [column.title for column in table.columns] == [
        "Model",
        "BP",
        "[46] Local errors",
        "[47] predsim",
        "[48] pHSIC (probable)",
        "ASAP",
    ]
    assert any("[48] is probably pHSIC" in note.text for note in table.notes)
    assert [cell_of(5, row, 3).rule for row in (0, 1)] == [RULES["phsic"].choose()] * 2


def test_table_4_has_a_row_a_rule_and_a_column_a_weight_decay() -> None:
    table = accuracy_table(4, [])
    assert [c.title for c in table.columns[1:]] == ["λ = 0", "λ = 5e-06", "λ = 5e-05", "λ = 0.0005", "λ = 0.005"]
    decays = [[cell_of(4, row, column).optimizer["weight_decay"] for column in range(5)] for row in (0, 1)]
    assert decays == [[0.0, 5e-6, 5e-5, 5e-4, 5e-3]] * 2
    assert texts(4)[0] == ["BP", "-", "-", "-", "-", "-"]
    assert texts(4)[2][0] == "ASAP"


def test_a_weight_decay_stands_in_its_own_column() -> None:
    rows = texts(4, result(cell_of(4, 1, 2), 91.0), result(cell_of(4, 1, 3), 94.0))
    assert rows[2] == ["ASAP", "-", "-", "91.00", "94.00", "-"]
    assert rows[4] == ["difference", "", "", "-0.63", "+0.03", ""]


def test_one_training_serves_every_table_that_prints_it() -> None:
    asap = result(cell_of(1, 6, 4), 92.0)
    assert texts(2, asap)[0][2] == texts(5, asap)[0][5] == "92.00"
    assert cell_of(1, 7, 4).id == cell_of(4, 1, 3).id == cell_of(2, 1, 1).id


def test_another_weight_decay_deviates_from_the_nearest_column() -> None:
    cell = cell_of(4, 0, 4)
    other = replace(cell, optimizer=OPTIMIZERS["sgd"].choose({"weight_decay": 5e-3, "nesterov": True}))
    rows = texts(4, result(other, 90.0), allow_deviations=True)
    assert rows[2] == ["deviating", "", "", "", "", "90.00"]
    assert texts(4, result(other, 90.0))[2][0] == "ASAP"


def test_the_commands_below_a_table_train_its_missing_cells_and_no_others() -> None:
    from asapbench.suite.load import load
    from asapbench.suite.select import only

    for table in ACCURACIES:
        trained = set()
        commands = [command for note in accuracy_table(table, []).notes for command in note.commands]
        for command in commands:
            words = command.split()
            filters = [words[place + 1] for place, word in enumerate(words) if word == "--only"]
            trained |= {cell.id for cell in only(load(words[2]).cells, filters)}
        assert trained == {reference.cell.id for reference in printed_table(table).references}
