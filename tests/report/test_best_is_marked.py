import csv
import io
import json
import re
from dataclasses import replace

import pytest
from made_up import result, shipped_cell

from asapbench.report.best import best, strong
from asapbench.report.layout import Layout, arranged, transposed
from asapbench.report.paper import accuracy_table
from asapbench.report.quantity import Metric
from asapbench.report.render import Format, render
from asapbench.report.statistics import Summary
from asapbench.report.suite import suite_table
from asapbench.report.table import Column, Field, Group, Note, Row, Strong, Table
from asapbench.store import Result
from asapbench.suite.load import load

QUICK = load("quickstart")
VALUES = {
    "bp": (96.0, 97.0, 95.5),
    "kp": (95.8, 97.1, 95.2),
    "asap": (95.9, 96.2, 95.4),
    "fa": (90.0, 90.7, 89.1),
    "dfa": (85.0, 88.0, 83.0),
}


def trained() -> list[Result]:
    return [result(cell, VALUES[cell.rule.name][cell.seed]) for cell in QUICK.cells]


def marked(table: Table, row: Row) -> set[str]:
    titles = [column.title for column in table.columns]
    return {title for title, field in zip(titles, row.fields, strict=True) if field.emphasis == "strong"}


def test_the_best_of_a_row_and_all_that_are_not_significantly_worse_are_strong() -> None:
    table = suite_table("quickstart", QUICK.cells, trained(), metric=Metric.BEST, file=QUICK)
    for row in table.groups[0].rows:
        assert marked(table, row) == {"BP", "KP", "ASAP"}
    assert (
        "Bold: the best of its row and all that are not significantly worse (paired t-test over seeds, 5 %, Holm"
        in table.described()
    )


def test_text_without_bold_marks_the_best_with_a_star_beside_the_aligned_numbers() -> None:
    table = suite_table("quickstart", QUICK.cells, trained(), metric=Metric.BEST, file=QUICK)
    plain = render(table, Format.TERMINAL)
    assert "Bold" not in plain
    assert "*: the best of its row and all that are not significantly worse" in plain.replace("\n", " ")
    (line, *_) = [line for line in plain.splitlines() if line.startswith("ResNet-10 ")]
    assert re.findall(r"[\d.]+ ± [\d.]+\S*", line) == [
        "96.17 ± 0.76*",
        "96.03 ± 0.97*",
        "89.93 ± 0.80",
        "85.33 ± 2.52",
        "95.83 ± 0.40*",
    ]
    titles = next(line for line in plain.splitlines() if line.startswith("Model"))
    assert "*" not in titles
    assert titles.index("BP") + len("BP") == line.index("*")
    coloured = render(table, Format.TERMINAL, color=True)
    assert "*" not in coloured
    assert "Bold: the best of its row" in coloured


def test_a_star_stands_before_the_footnotes_of_its_number() -> None:
    row = Row((Field("ResNet-10"), Field("98.72", ("a",), emphasis="strong"), Field("97.33")))
    columns = (Column("Model", "left"), Column("BP"), Column("KP"))
    groups, notes = (Group("", (row,)),), (Note("why", mark="a"),)
    table = Table("T", "Bold: no explanation.", columns, groups, notes, (), strong=Strong("the best."))
    assert "ResNet-10  98.72*[a]  97.33\n" in render(table, Format.TERMINAL)
    assert "ResNet-10  98.72[a]  97.33\n" in render(replace(table, strong=None), Format.TERMINAL)


@pytest.mark.parametrize("form", [Format.MARKDOWN, Format.LATEX, Format.HTML])
def test_formats_with_bold_say_what_it_is_and_others_have_no_word_of_it(form: Format) -> None:
    table = suite_table("quickstart", QUICK.cells, trained(), metric=Metric.BEST, file=QUICK)
    assert "Bold: the best of its row" in render(table, form)
    assert "Bold" not in render(table, Format.JSON)
    assert "Bold" not in render(arranged(table, Layout(no_caption=True)), form)


def test_a_table_with_rows_and_columns_swapped_names_the_column() -> None:
    table = suite_table("quickstart", QUICK.cells, trained(), metric=Metric.BEST, file=QUICK)
    swapped = transposed(table)
    assert "the best of its column and all" in swapped.described()
    assert "Holm over the column)" in swapped.described()
    assert transposed(swapped).described() == table.described()


def test_seeds_are_paired_so_that_a_small_constant_loss_beyond_the_spread_of_seeds_counts() -> None:
    first = Summary((90.0, 95.0, 99.0), seeds=(0, 1, 2))
    shuffled = Summary((98.7, 94.8, 89.75), seeds=(2, 1, 0))
    assert best([first, shuffled]).marked == {0}
    assert best([first, Summary((98.7, 94.8, 89.75), seeds=(0, 1, 2))]).marked == {0, 1}


def test_the_comparisons_of_a_row_are_corrected_together() -> None:
    top = Summary((90.0, 90.0, 90.0, 90.0), seeds=(0, 1, 2, 3))
    worse = Summary((88.8, 88.0, 87.4, 89.2), seeds=(0, 1, 2, 3))  # p = 0.027 alone, 0.053 of two
    assert best([top, worse]).marked == {0}
    assert best([top, worse, worse]).marked == {0, 1, 2}


def test_with_one_seed_nothing_is_marked_and_the_caption_says_why() -> None:
    cells = [cell for cell in QUICK.cells if cell.seed == 0]
    table = suite_table("quickstart", cells, [result(cell, 90.0) for cell in cells], metric=Metric.BEST)
    assert not any(marked(table, row) for row in table.groups[0].rows)
    assert "Nothing is marked as best: a test needs 2 seeds or more." in table.caption


def test_a_rule_of_which_a_training_diverged_is_never_marked() -> None:
    results = [
        result(cell, state="diverged")
        if cell.rule.name == "bp" and cell.seed == 2
        else result(cell, VALUES[cell.rule.name][cell.seed])
        for cell in QUICK.cells
    ]
    table = suite_table("quickstart", QUICK.cells, results, metric=Metric.BEST, file=QUICK)
    assert marked(table, table.groups[0].rows[0]) == {"KP", "ASAP"}
    assert "Not tested: with a diverged training" in table.described()


def test_a_rule_that_shares_no_two_seeds_with_the_best_is_not_marked() -> None:
    top = Summary((96.0, 97.0, 98.0), seeds=(0, 1, 2))
    found = best([top, Summary((95.0, 96.5), seeds=(7, 8)), Summary((96.1, 96.9, 97.9), seeds=(0, 1, 2))])
    assert (found.marked, found.untested) == ({0, 2}, {1})


def test_what_is_better_over_the_shared_seeds_is_not_called_worse() -> None:
    top = Summary((90.0, 91.0, 92.0, 99.0, 99.0), seeds=(0, 1, 2, 3, 4))
    better = Summary((91.0, 92.1, 93.0), seeds=(0, 1, 2))
    assert best([top, better]).marked == {0, 1}


def lower(top: Summary, by: float) -> Summary:
    return Summary(tuple(value - by for value in top.samples), seeds=top.seeds)


def test_the_same_loss_with_every_seed_is_worse_only_where_so_many_seeds_show_it() -> None:
    """Signs alone: 2 / 2^n, that is 0.5 with 2 seeds, 0.0625 with 5, 0.03125 with 6."""
    two = Summary((97.0, 98.0), seeds=(0, 1))
    assert best([two, lower(two, 0.28), lower(two, 0.0)]).marked == {0, 1, 2}
    five, six = (Summary(tuple(90.0 + seed for seed in range(n)), seeds=tuple(range(n))) for n in (5, 6))
    assert best([five, lower(five, 1.0)]).marked == {0, 1}
    assert best([six, lower(six, 1.0)]).marked == {0}


def test_a_single_seed_with_the_highest_number_is_not_tested_and_the_others_are() -> None:
    two = Summary((90.0, 91.0, 92.5), seeds=(0, 1, 2))
    found = best([Summary((99.0,), seeds=(0,)), two, Summary((80.0, 81.5, 82.0), seeds=(0, 1, 2))])
    assert (found.marked, found.untested) == ({1}, {0})
    made = strong([found])
    assert made is not None
    assert "Not tested: with a diverged training, one seed, or" in made.form


@pytest.mark.parametrize(
    ("suite", "model", "table", "of"),
    [("cifar10", "resnet18", 1, "row"), ("weight_decay", "resnet34", 4, "column")],
)
def test_the_papers_tables_mark_the_best_rules(suite: str, model: str, table: int, of: str) -> None:
    cells = [shipped_cell(suite, model, rule, seed=seed) for rule in ("bp", "asap") for seed in (0, 1, 2)]
    values = {"bp": VALUES["bp"], "asap": VALUES["fa"]}
    made = accuracy_table(table, [result(cell, values[cell.rule.name][cell.seed]) for cell in cells])
    fields = [field for group in made.groups for row in group.rows for field in row.fields]
    marked = [field.text for field in fields if field.emphasis == "strong"]
    assert marked == ["96.17 ± 0.76"]
    assert f"best of its {of}" in made.described()


def test_the_samples_and_their_seeds_are_in_csv_and_json() -> None:
    table = suite_table("quickstart", QUICK.cells, trained(), metric=Metric.BEST, file=QUICK)
    number = json.loads(render(table, Format.JSON))["numbers"][0]
    assert number["samples"] == pytest.approx([96.0, 97.0, 95.5])
    assert number["seeds"] == [0, 1, 2]
    row = next(iter(csv.DictReader(io.StringIO(render(table, Format.CSV)))))
    assert [float(text) for text in row["samples"].split()] == pytest.approx([96.0, 97.0, 95.5])
    assert row["seeds"] == "0 1 2"
