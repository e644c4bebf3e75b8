from dataclasses import replace

import pytest
from made_up import result

from asapbench.report.quantity import Metric
from asapbench.report.suite import suite_table
from asapbench.store import Result
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse

QUICK = load("quickstart")
BASE = {"bp": 96.0, "kp": 95.0, "asap": 94.0, "fa": 90.0, "dfa": 85.0}


def trained(cells: list[Cell]) -> list[Result]:
    return [result(cell, BASE[cell.rule.name] + cell.seed) for cell in cells]


def test_rules_are_side_by_side_with_spread_and_count() -> None:
    table = suite_table("quickstart", QUICK.cells, trained(list(QUICK.cells)), metric=Metric.BEST, file=QUICK)
    assert [column.title for column in table.columns] == ["Model", "BP", "KP", "FA", "DFA", "ASAP"]
    assert [group.header for group in table.groups] == ["Digits"]
    assert [row.fields[0].text for row in table.groups[0].rows] == ["ResNet-10", "ResNet-10 (nsc)"]
    assert table.groups[0].rows[0].fields[1].text == "97.00 ± 1.00"
    assert "n = 3 seeds" in table.caption
    assert "width=8" in table.caption
    assert not table.notes
    assert len(table.numbers) == 10


def test_the_rules_are_ordered_from_best_to_worst() -> None:
    table = suite_table("quickstart", QUICK.cells, trained(list(QUICK.cells)), metric=Metric.BEST, file=QUICK)
    assert table.summary == ("Best to worst (average over 2 rows): BP 97.00, KP 96.00, ASAP 95.00, FA 91.00, DFA 86.00")


def controls() -> list[Cell]:
    rules = [RULES["bp"].choose(options) for options in ({"checkpointing": True}, {"micro_batches": 2})]
    return [replace(cell, rule=rule) for cell in QUICK.cells if cell.rule.name == "bp" for rule in rules]


def test_controls_of_bp_have_places_of_their_own_in_the_order() -> None:
    cells = [*QUICK.cells, *controls()]
    table = suite_table("mine", cells, trained(cells), metric=Metric.BEST)
    assert table.summary.startswith(
        "Best to worst (average over 2 rows): BP 97.00, BP(checkpointing=true) 97.00, BP(micro_batches=2) 97.00, KP"
    )


def test_controls_that_deviate_from_the_file_leave_its_order_as_it_is() -> None:
    cells = [*QUICK.cells, *controls()]
    table = suite_table("mine", cells, trained(cells), metric=Metric.BEST, file=QUICK)
    assert table.summary == ("Best to worst (average over 2 rows): BP 97.00, KP 96.00, ASAP 95.00, FA 91.00, DFA 86.00")


def test_a_control_is_not_offered_as_a_swept_value() -> None:
    cells = [replace(cell, validation=100) for cell in (*QUICK.cells, *controls())]
    cells += [replace(cell, lr=cell.lr / 10) for cell in cells]
    table = suite_table("mine", cells, trained(cells), metric=Metric.BEST)
    assert table.notes[0].commands == ("asapbench report --suite mine --select lr",)


def test_a_row_without_every_rule_does_not_count_for_the_order() -> None:
    cells = [c for c in QUICK.cells if not (c.model.name == "resnet10_nsc" and c.rule.name == "bp")]
    table = suite_table("quickstart", QUICK.cells, trained(cells), file=QUICK)
    assert table.summary.startswith("Best to worst (one row): BP")


@pytest.mark.parametrize("field", ["lr", "batch_size", "k"])
def test_no_order_is_printed_where_a_rule_has_several_values(field: str) -> None:
    def another(cell: Cell) -> Cell:
        if field == "k":
            return replace(cell, rule=RULES["asap"].choose({"k": 4}))
        return replace(cell, **{field: 64 if field == "batch_size" else cell.lr / 10})  # type: ignore[arg-type]

    cells = [*QUICK.cells, *(another(cell) for cell in QUICK.cells if cell.rule.name == "asap")]
    table = suite_table("mine", cells, trained(cells), metric=Metric.BEST)
    assert table.summary == ""
    assert table.notes[0].text.startswith("No order from best to worst: ASAP has several values on one network")


@pytest.mark.parametrize(
    "networks",
    [
        'model = { name = "resnet10", width = [2, 3] }',
        'model = { name = "resnet10", linear_init = ["default", "released"] }',
        'model = "resnet10"\ndataset = { name = "digits", train_size = [256, 512] }',
    ],
)
def test_each_network_and_data_set_with_one_value_per_rule_counts_for_the_order(networks: str) -> None:
    head = '[suite]\nname = "two"\n[defaults]\ndataset = "digits"\nlr = 0.1\nepochs = 1\n'
    cells = list(parse(f'{head}[[grid]]\nrule = ["bp", "fa"]\n{networks}', source="two.toml").cells)
    table = suite_table("two", cells, trained(cells), metric=Metric.BEST)
    assert table.summary == "Best to worst (average over 2 rows): BP 96.00, FA 90.00"
    assert not table.notes


def test_a_row_in_which_a_training_diverged_does_not_count_for_the_order() -> None:
    def made(cell: Cell) -> Result:
        diverged = cell.rule.name == "fa" and cell.model.name == "resnet10" and cell.seed
        return result(cell, state="diverged") if diverged else trained([cell])[0]

    table = suite_table("quickstart", QUICK.cells, [made(cell) for cell in QUICK.cells], file=QUICK)
    assert table.summary.startswith("Best to worst (one row): BP")


def test_unfinished_cells_are_counted_with_their_states_and_the_command_to_resume() -> None:
    cells = list(QUICK.cells)
    results = [*trained(cells[:-3]), result(cells[-3], state="failed"), result(cells[-2], state="interrupted")]
    table = suite_table("quickstart", cells, results, file=QUICK)
    note = table.notes[-1]
    assert note.text == "3 of 30 cells not finished (1 failed, 1 interrupted, 1 pending):"
    assert note.commands == ("asapbench resume quickstart", f"asapbench show {cells[-3].short}")


def test_cells_that_deviate_from_the_file_are_marked() -> None:
    cells = [replace(cell, epochs=1) for cell in QUICK.cells]
    table = suite_table("quickstart", cells, trained(cells), file=QUICK)
    assert [note.text for note in table.notes] == ["deviates from the suite file: epochs 1 instead of 10"]
    assert all(row.fields[0].marks == ("a",) for row in table.groups[0].rows)
    assert {number.variant for number in table.numbers} == {"epochs 1 instead of 10"}


def test_cut_and_full_cells_never_share_a_number_or_a_row_or_the_order() -> None:
    cut = [replace(cell, epochs=1) for cell in QUICK.cells]
    results = [*trained(list(QUICK.cells)), *(result(cell, 10.0) for cell in cut)]
    table = suite_table("quickstart", [*QUICK.cells, *cut], results, metric=Metric.BEST, file=QUICK)
    assert [row.fields[0].text for row in table.groups[0].rows] == [
        "ResNet-10, epochs 10",
        "ResNet-10 (nsc), epochs 10",
        "ResNet-10, epochs 1",
        "ResNet-10 (nsc), epochs 1",
    ]
    assert "BP 97.00" in table.summary
    assert {number.n for number in table.numbers} == {3}


def test_a_sweep_on_one_network_leaves_the_rules_of_the_other_side_by_side() -> None:
    own = {"bp": 0.1, "kp": 0.1, "asap": 0.1, "fa": 0.01, "dfa": 0.01}
    cells = [replace(cell, lr=own[cell.rule.name]) for cell in QUICK.cells]
    cells += [replace(c, lr=0.01) for c in cells if c.rule.name == "asap" and c.model.name == "resnet10_nsc"]
    rows = suite_table("mine", cells, trained(cells), metric=Metric.BEST).groups[0].rows
    measured = {row.fields[0].text: [bool(field.text) for field in row.fields[1:]] for row in rows}
    assert measured == {
        "ResNet-10": [True, True, True, True, True],
        "ResNet-10 (nsc), lr 0.1": [True, True, False, False, True],
        "ResNet-10 (nsc), lr 0.01": [False, False, True, True, True],
    }


def test_a_suite_without_a_file_is_shown() -> None:
    table = suite_table("mine", QUICK.cells, trained(list(QUICK.cells)))
    assert table.title == "mine"
    assert not table.notes


def test_each_choice_of_rule_options_has_its_own_column() -> None:
    four = [replace(c, rule=RULES["asap"].choose({"k": 4})) for c in QUICK.cells if c.rule.name == "asap"]
    table = suite_table("mine", [*QUICK.cells, *four], trained([*QUICK.cells, *four]))
    assert [column.title for column in table.columns][-2:] == ["ASAP", "ASAP(k=4)"]


def test_outdated_results_are_not_numbers() -> None:
    results = [result(cell, 50.0, cell_id="0" * 64) for cell in QUICK.cells]
    table = suite_table("quickstart", QUICK.cells, results, file=QUICK)
    assert all(number.measured is None for number in table.numbers)
    assert "30 outdated" in table.notes[0].text
