from dataclasses import replace

import pytest
from made_up import result, shipped_cell

from asapbench.report.commands import commands_to_fill
from asapbench.report.paper import accuracy_table
from asapbench.report.published import printed_table
from asapbench.report.quantity import Metric
from asapbench.report.table import Number, Table


def number(table: Table, dataset: str, model: str, rule: str, variant: str = "") -> Number:
    found = [n for n in table.numbers if (n.dataset, n.model, n.rule, n.variant) == (dataset, model, rule, variant)]
    assert len(found) == 1
    return found[0]


def lines(table: Table) -> list[list[str]]:
    return [[field.text for field in row.fields] for group in table.groups for row in group.rows]


def test_measured_published_and_difference_are_below_each_other() -> None:
    results = [result(shipped_cell("mnist", "alexnet", "bp", seed=s), v) for s, v in enumerate((99.0, 99.2, 99.4))]
    table = accuracy_table(1, results)
    assert lines(table)[0][:3] == ["AlexNet", "99.20 ± 0.20", "-"]
    assert lines(table)[1][:3] == ["published", "99.59", "99.55"]
    assert lines(table)[2][:3] == ["difference", "-0.39", ""]
    found = number(table, "mnist", "alexnet", "bp")
    assert (found.n, found.published) == (3, 99.59)
    assert found.difference == pytest.approx(99.2 - 99.59)
    assert "over n = 3 seeds" in table.caption


def test_an_empty_database_shows_every_row_and_rule_of_the_paper() -> None:
    table = accuracy_table(1, [])
    assert len(table.numbers) == len(printed_table(1).references) == 70
    assert [group.header for group in table.groups] == ["MNIST", "SVHN", "CIFAR-10", "CIFAR-100", "Tiny ImageNet"]
    commands = [command for note in table.notes for command in note.commands]
    rules = " --only rule=bp,kp,fa,dfa,asap"  # the suite has other tables' rules, too
    assert sorted(commands) == sorted(
        f"asapbench run {name}{rules if name == 'cifar10' else ''}"
        for name in ("mnist", "svhn", "cifar10", "cifar100", "tiny_imagenet")
    )


@pytest.mark.parametrize(
    "cut", [{"epochs": 1}, {"lr": 0.5}, {"batch_size": 64}, {"precision": "bf16"}, {"validation": 5000}]
)
def test_a_cell_that_deviates_never_enters_a_measured_line(cut: dict[str, float]) -> None:
    deviating = result(replace(shipped_cell("cifar10", "resnet18", "asap"), **cut), 10.0)  # type: ignore[arg-type]
    for allowed in (False, True):
        table = accuracy_table(1, [deviating], allow_deviations=allowed)
        assert number(table, "cifar10", "resnet18", "asap").measured is None
    assert any(
        "1 configuration left out that differs from this table's cells" in note.text
        for note in accuracy_table(1, [deviating]).notes
    )


def test_allowed_deviations_stand_in_a_line_of_their_own_with_a_footnote() -> None:
    full = shipped_cell("cifar10", "resnet18", "asap")
    results = [result(full, 92.0), result(replace(full, epochs=1), 55.0)]
    table = accuracy_table(1, results, allow_deviations=True)
    row = next(row for group in table.groups for row in group.rows if row.fields[0].text == "deviating")
    assert [field.text for field in row.fields] == ["deviating", "", "", "", "", "55.00"]
    note = next(note for note in table.notes if note.mark == row.fields[0].marks[0])
    assert note.text == "differs from this table's cell: epochs 1 instead of 200"
    assert number(table, "cifar10", "resnet18", "asap").measured == pytest.approx(92.0)
    assert number(table, "cifar10", "resnet18", "asap", "epochs 1 instead of 200").measured == pytest.approx(55.0)


def test_diverged_seeds_are_a_footnote_and_leave_the_mean_alone() -> None:
    cells = [shipped_cell("mnist", "alexnet", "dfa", seed=seed) for seed in range(3)]
    table = accuracy_table(
        1, [result(cells[0], 99.0), result(cells[1], 98.0), result(cells[2], 10.0, state="diverged")]
    )
    found = number(table, "mnist", "alexnet", "dfa")
    assert (found.measured, found.n, found.diverged) == (pytest.approx(98.5), 2, 1)
    field = table.groups[0].rows[0].fields[4]
    assert [note.text for note in table.notes if note.mark in field.marks] == ["1 diverged of 3"]


def test_a_configuration_of_which_all_seeds_diverged_says_so() -> None:
    table = accuracy_table(1, [result(shipped_cell("mnist", "alexnet", "dfa"), state="diverged")])
    assert lines(table)[0][4] == "diverged"
    assert any(note.text == "1 diverged of 1" for note in table.notes)


def test_unfinished_cells_are_no_numbers_and_named_with_the_command_to_resume() -> None:
    results = [result(shipped_cell("mnist", "alexnet", "bp"), 50.0, state="interrupted")]
    table = accuracy_table(1, results)
    assert number(table, "mnist", "alexnet", "bp").measured is None
    note = next(note for note in table.notes if "not finished" in note.text)
    assert "1 interrupted" in note.text
    assert note.commands == ("asapbench resume mnist",)


def test_a_result_of_an_earlier_revision_is_left_out() -> None:
    table = accuracy_table(1, [result(shipped_cell("mnist", "alexnet", "bp"), 50.0, cell_id="0" * 64)])
    assert number(table, "mnist", "alexnet", "bp").measured is None
    assert any("earlier revision" in note.text for note in table.notes)


def test_the_same_cell_counts_once() -> None:
    cell = shipped_cell("mnist", "alexnet", "bp")
    assert number(accuracy_table(1, [result(cell, 99.0)] * 2), "mnist", "alexnet", "bp").n == 1


def test_the_metric_chooses_the_epoch_and_is_labelled() -> None:
    results = [result(shipped_cell("mnist", "alexnet", "bp"), 99.0)]
    best, last = accuracy_table(1, results), accuracy_table(1, results, metric=Metric.LAST)
    assert number(best, "mnist", "alexnet", "bp").measured == pytest.approx(99.0)
    assert number(last, "mnist", "alexnet", "bp").measured == pytest.approx(98.0)
    assert "best test epoch" in best.caption
    assert "last epoch" in last.caption
    validated = accuracy_table(1, results, metric=Metric.BEST_VAL)
    assert number(validated, "mnist", "alexnet", "bp").measured is None
    assert any("no best-val" in note.text for note in validated.notes)


def test_n_stands_below_only_where_it_is_not_the_usual_one() -> None:
    results = [
        result(shipped_cell("svhn", model, "bp", seed=s), 90.0 + s) for model in ("alexnet", "resnet18") for s in (0, 1)
    ]
    results.append(result(shipped_cell("mnist", "alexnet", "bp"), 99.0))
    counts = [line for line in lines(accuracy_table(1, results)) if line[0] == "n"]
    assert counts == [["n", "1", "", "", "", ""]]


def test_the_commands_that_fill_train_exactly_what_is_missing() -> None:
    from asapbench.suite.load import load
    from asapbench.suite.select import only

    keyed = [(*printed.key[:3], printed.reference) for printed in printed_table(1).numbers if printed.reference]
    missing = [r for d, m, rule, r in keyed if d == "cifar10" and (rule == "asap" or m == "resnet34")]
    trained = set()
    for command in commands_to_fill(missing):
        words = command.split()
        filters = [words[place + 1] for place, word in enumerate(words) if word == "--only"]
        trained |= {cell.id for cell in only(load(words[2]).cells, filters)}
    assert trained == {reference.cell.id for reference in missing}
