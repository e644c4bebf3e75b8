"""`report --table N --reduced SUITE`: smaller trainings beside the paper's numbers, by their order and gaps alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import result
from page.page_results import finished
from scipy.stats import kendalltau, spearmanr

from asapbench.errors import AsapbenchError
from asapbench.report.build import report
from asapbench.report.page.content import read
from asapbench.report.page.tables import suite_tables
from asapbench.report.paper import accuracy_table
from asapbench.report.quantity import Metric, Wanted
from asapbench.report.reduced import is_reduced, reduced_rows, reduced_table
from asapbench.report.render import Format, render
from asapbench.report.table import Table
from asapbench.store import Outcome, Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load, parse
from asapbench.suite.select import only

SUITE = "measured_cpu"
CELLS = load(SUITE).cells
RULES = ("bp", "kp", "fa", "dfa", "asap")
PERCENT = dict(zip(RULES, (80.0, 70.0, 50.0, 55.0, 75.0), strict=True))
"""At the last epoch, of seed 0; each seed is a point above the one before. ASAP and KP are the wrong way round."""
PUBLISHED = [94.93, 94.76, 72.47, 76.00, 92.19]


def of_table_1(model: str = "resnet18", **changes: object) -> list[Cell]:
    """The suite's cells of a CIFAR-10 row of Table 1: the first of each rule, as the file has them before variants."""
    rows = [row for row in reduced_rows(1, CELLS) if row.cells[0].model.name == model]
    (row,) = [row for row in rows if row.cells[0].dataset.name == "cifar10"]
    groups = {cell.group for cell in row.cells.values()}
    return [replace(cell, **changes) for cell in CELLS if cell.group in groups]  # type: ignore[arg-type]


def trained(cells: Iterable[Cell], percent: Mapping[str, float] = PERCENT) -> list[Outcome]:
    return [result(cell, percent[cell.rule.name] + 1 + cell.seed) for cell in cells]  # last: 1 below the best


def table(number: int, results: Sequence[Outcome], cells: Sequence[Cell] = CELLS, **options: object) -> Table:
    return reduced_table(number, reduced_rows(number, cells, results), suite=SUITE, **options)  # type: ignore[arg-type]


def lines(made: Table, *, header: str = "CIFAR-10", stub: str = "ResNet-18") -> list[list[str]]:
    """A row and the lines below it."""
    (group,) = [group for group in made.groups if group.header == header]
    texts = [[field.text for field in row.fields] for row in group.rows]
    start = next(place for place, row in enumerate(texts) if row[0] == stub)
    own = group.rows[start + 1 :]
    below = next((place for place, row in enumerate(own) if not row.fields[0].indent), len(own))
    return texts[start : start + 1 + below]


def order(made: Table, stub: str = "ResNet-18") -> str:
    (row,) = [row for group in made.groups for row in group.rows if row.fields[0].text == stub]
    return next(note.text for note in made.notes if note.mark == row.fields[0].marks[-1])


def test_each_row_has_measured_and_published_numbers_and_their_gaps_to_bp() -> None:
    assert lines(table(1, trained(of_table_1()))) == [
        ["ResNet-18", "81.00 ± 1.00", "71.00 ± 1.00", "51.00 ± 1.00", "56.00 ± 1.00", "76.00 ± 1.00"],
        ["published", "94.93", "94.76", "72.47", "76.00", "92.19"],
        ["gap to BP", "", "-10.00", "-30.00", "-25.00", "-5.00"],
        ["published gap", "", "-0.17", "-22.46", "-18.93", "-2.74"],
    ]


def test_the_caption_says_once_how_they_are_reduced_and_that_numbers_do_not_compare() -> None:
    caption = table(1, trained(of_table_1())).caption
    assert "(model.width 8 instead of 64, epochs 20 instead of 200)" in caption
    assert "not comparable with the paper's, only their order and gaps are" in caption
    assert "at the last epoch" in caption
    assert "n = 3 seeds" in caption


def test_the_order_is_compared_by_scipys_rank_correlations() -> None:
    measured = [PERCENT[rule] for rule in RULES]
    rho, tau = (found(measured, PUBLISHED).statistic for found in (spearmanr, kendalltau))
    assert order(table(1, trained(of_table_1()))) == (
        f"5 rules: Spearman's rho {rho:.2f} (exact p = 0.083), Kendall's tau {tau:.2f} (exact p = 0.083)"
    )


def test_a_row_with_too_few_rules_says_so() -> None:
    cells = of_table_1()
    four = table(1, trained(cell for cell in cells if cell.rule.name != "kp"))
    assert order(four).startswith("4 rules: Spearman's rho 1.00")
    assert order(four).endswith("too few for a conclusion: no order has a p below 0.083")
    two = table(1, trained(only(cells, ["rule=bp,fa"])))
    assert order(two) == "2 of 5 rules measured: an order needs 3"
    assert lines(two)[2] == ["gap to BP", "", "", "-30.00", "", ""]
    assert order(table(1, trained(cells, dict.fromkeys(RULES, 10.0)))) == (
        "5 rules: no order, all have the same accuracy"
    )


def test_without_bp_there_is_no_gap_and_a_diverged_rule_has_no_place_in_the_order() -> None:
    cells = of_table_1()
    without = table(1, trained(cell for cell in cells if cell.rule.name != "bp"))
    assert [line[0] for line in lines(without)] == ["ResNet-18", "published"]
    diverged = [result(cell, state="diverged") for cell in only(cells, ["rule=fa"])]
    made = table(1, [*trained(cell for cell in cells if cell.rule.name != "fa"), *diverged])
    assert order(made).startswith("4 rules")
    assert lines(made)[0][3] == "diverged"


def test_rows_together_have_the_mean_over_the_rules_that_all_have() -> None:
    alexnet = {"bp": 70.0, "kp": 60.0, "fa": 50.0, "dfa": 55.0, "asap": 40.0}
    results = [*trained(of_table_1()), *trained(of_table_1("alexnet"), alexnet)]
    (theirs,) = [
        row.published for row in reduced_rows(1, CELLS) if row.line.header == "CIFAR-10" and "Alex" in row.line.stub
    ]
    rhos = [
        float(spearmanr(list(PERCENT.values()), PUBLISHED).statistic),
        float(spearmanr(list(alexnet.values()), theirs).statistic),
    ]
    assert f"2 rows together: 5 rules, mean Spearman's rho {sum(rhos) / 2:.2f}" in table(1, results).summary
    assert table(1, trained(of_table_1())).summary == ""


@pytest.mark.parametrize(
    "changes", [{"lr": 0.5}, {"batch_size": 64}, {"warmup": 1}, {"normalization": "released"}, {"augment": "none"}]
)
def test_a_cell_that_deviates_in_another_setting_stays_out(changes: dict[str, object]) -> None:
    assert reduced_rows(1, of_table_1(**changes)) == []


def test_variants_of_the_suite_enter_no_column() -> None:
    groups = {cell.group for row in reduced_rows(1, CELLS) for cell in row.cells.values()}
    left = {(cell.model, cell.rule, cell.lr, cell.optimizer) for cell in CELLS if cell.group not in groups}
    for one in ("classifier", "kaiming", "random", "trained", "kernel", "dgl", "asfp", "predsim"):
        assert any(one in str(choices) for choices in left), one
    assert sum(len(row.cells) for row in reduced_rows(1, CELLS)) == len(groups) == 20
    assert [sorted(row.cells) for row in reduced_rows(5, CELLS)] == [[0, 1, 2, 3, 4]]
    assert [sorted(row.cells) for row in reduced_rows(2, CELLS)] == [[0, 1, 2, 3]]


def test_the_papers_own_cells_are_not_reduced_and_reduced_ones_enter_no_table_of_the_paper() -> None:
    own = load("cifar10").cells
    assert reduced_rows(1, own) == []
    assert not is_reduced(own[0], own[0].with_seed(1))
    assert is_reduced(replace(own[0], epochs=20, precision="tf32"), own[0])
    results = trained(of_table_1())
    assert all(number.measured is None for number in accuracy_table(1, results).numbers)


def test_table_4_compares_weight_decays_on_another_network_and_says_so() -> None:
    rows = reduced_rows(4, CELLS)
    assert [sorted(row.cells) for row in rows] == [[0, 1, 2, 3, 4]] * 2
    percent = {("bp", place): 80.0 + place for place in range(5)} | {
        ("asap", place): 70.0 - place for place in range(5)
    }
    wanted = {cell.group: percent[cell.rule.name, place] for row in rows for place, cell in row.cells.items()}
    made = table(4, [result(cell, wanted[cell.group] + 1) for cell in only(CELLS, ["seed=0"]) if cell.group in wanted])
    header = "CIFAR-10, ResNet-18 instead of ResNet-34"
    assert [line[0] for line in lines(made, header=header, stub="BP")] == ["BP", "published"]
    assert lines(made, header=header, stub="ASAP") == [
        ["ASAP", "70.00", "69.00", "68.00", "67.00", "66.00"],
        ["published", "89.77", "89.85", "91.63", "93.97", "91.54"],
        ["gap to BP", "-10.00", "-12.00", "-14.00", "-16.00", "-18.00"],
        ["published gap", "-3.79", "-3.91", "-2.19", "-1.21", "-3.58"],
    ]
    assert header.removeprefix("CIFAR-10, ") in made.caption
    assert order(made, "BP").startswith("5 weight decays: Spearman's rho 0.90")
    assert any("does not name the network" in note.text for note in made.notes)


def test_two_reductions_of_one_row_are_two_rows_with_footnotes() -> None:
    longer = of_table_1(epochs=40)
    made = table(1, trained([*of_table_1(), *longer]), [*of_table_1(), *longer])
    marked = [row.fields[0].marks[0] for group in made.groups for row in group.rows if row.fields[0].marks]
    texts = [note.text for mark in marked for note in made.notes if note.mark == mark]
    assert texts == [f"model.width 8 instead of 64, epochs {epochs} instead of 200" for epochs in (20, 40)]
    assert "each row's in a footnote" in made.caption
    # One that is not trained is left out beside another that is.
    assert len(reduced_rows(1, [*of_table_1(), *longer], trained(longer))) == 1


def test_numbers_have_gaps_and_correlations_unrounded_and_no_difference() -> None:
    made = table(1, trained(of_table_1(), PERCENT | {"kp": 70.123456}))
    records = [row for row in csv.DictReader(io.StringIO(render(made, Format.CSV))) if row["n"] == "3"]
    assert [row["rule"] for row in records] == list(RULES)
    kp = records[1]
    assert (kp["model"], kp["variant"]) == (
        "resnet18(width=8)",
        "model.width 8 instead of 64, epochs 20 instead of 200",
    )
    assert float(kp["gap"]) == pytest.approx(70.123456 - 80)
    assert (float(kp["published_gap"]), kp["difference"]) == (pytest.approx(94.76 - 94.93), "")
    assert float(kp["rho"]) == pytest.approx(spearmanr(list(PERCENT.values()), PUBLISHED).statistic)
    assert json.loads(render(made, Format.JSON))["numbers"][-1]["compared"] == 5
    for form in (Format.TERMINAL, Format.MARKDOWN, Format.HTML, Format.LATEX):
        assert "9.88" in render(made, form)


# In a database:


def recorded(folder: Path, cells: Sequence[Cell], *, every: Sequence[Cell] = CELLS) -> str:
    url = f"sqlite:///{folder}/results.sqlite"
    with Store.open(url) as store:
        store.record_suite(SUITE, f"{SUITE}.toml", every, text=load(SUITE).text)
        for cell in cells:
            finished(store, cell, [(None, PERCENT[cell.rule.name] / 100 + cell.seed / 100)])
    return url


def test_the_report_shows_what_is_trained_and_the_commands_train_the_rest(tmp_path: Path) -> None:
    cells = of_table_1()
    url = recorded(tmp_path, only(cells, ["rule=bp,fa,dfa", "seed=0"]))
    made = report(Wanted(table="1", reduced=SUITE), url=url)
    assert isinstance(made, Table)
    assert lines(made)[0] == ["ResNet-18", "80.00", "-", "50.00", "55.00", "-"]
    (note,) = [note for note in made.notes if "not finished" in note.text]
    assert note.text.startswith("57 trainings")
    passed = set()
    for command in note.commands:
        words = command.removesuffix(f" --db {url}").split()
        assert words[:3] == ["asapbench", "run", SUITE]
        passed |= {
            cell.id for cell in only(CELLS, [words[at + 1] for at, word in enumerate(words) if word == "--only"])
        }
    groups = {cell.group for row in reduced_rows(1, CELLS) for cell in row.cells.values()}
    done = {cell.id for cell in only(cells, ["rule=bp,fa,dfa", "seed=0"])}
    assert passed == {cell.id for cell in CELLS if cell.group in groups} - done


def test_the_papers_table_names_the_suites_with_smaller_trainings_of_it(tmp_path: Path) -> None:
    url = recorded(tmp_path, only(of_table_1(), ["seed=0"]))
    with Store.open(url) as store:
        whole = load("cifar10").cells
        store.record_suite("whole", "whole.toml", whole)
        finished(store, only(whole, ["model=resnet18", "rule=bp", "seed=0"])[0], [(None, 0.9)])
        store.record_suite("two words", "mine.toml", only(CELLS, ["rule=bp,fa,dfa", "seed=0"]))
        store.record_suite("too few", "mine.toml", only(CELLS, ["rule=bp,fa", "seed=0"]))

    def named(number: str) -> list[str]:
        made = report(Wanted(table=number), url=url)
        assert isinstance(made, Table)
        return [command for note in made.notes for command in note.commands if "--reduced" in command]

    of_table = "asapbench report --table 1 --reduced"
    assert named("1") == [f"{of_table} {SUITE} --db {url}", f"{of_table} 'two words' --db {url}"]
    assert named("2") == []  # BP and ASAP alone have no order


def test_a_page_has_the_reduced_tables_in_which_an_order_is_compared(tmp_path: Path) -> None:
    url = recorded(tmp_path, only(of_table_1(), ["seed=0"]))
    names = [made.name for made in suite_tables(read(url), option="")]
    assert [name for name in names if name.endswith("reduced")] == ["table-1-reduced"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(reduced=SUITE), r"^--reduced: goes with --table: add --table 1, 2, 4 or 5$"),
        (Wanted(reduced=SUITE, suite=SUITE), r"^--reduced: goes with --table, not with --suite; leave it out$"),
        (Wanted(reduced=SUITE, table="3"), r"^--reduced: goes with --table 1, 2, 4 or 5, not with 3; leave it out$"),
        (Wanted(reduced=SUITE, table="1", allow_deviations=True), r"^--allow-deviations: .* not with --reduced"),
        (Wanted(reduced="measured_cp", table="1"), r'^--reduced measured_cp: .* did you mean "measured_cpu"'),
        (Wanted(reduced="mine", table="1"), r"^--reduced mine: no cell of the suite is one of Table 1 that differs in"),
    ],
)
def test_what_cannot_be_compared_is_one_line(tmp_path: Path, wanted: Wanted, said: str) -> None:
    url = recorded(tmp_path, ())
    with Store.open(url) as store:
        text = '[suite]\nname = "mine"\n[[grid]]\ndataset = "digits"\nmodel = "resnet10"\nrule = "bp"\nlr = 0.1\n'
        store.record_suite("mine", "mine.toml", parse(text, source="mine.toml").cells, text=text)
    with pytest.raises(AsapbenchError, match=said) as caught:
        report(wanted, url=url)
    assert "\n" not in str(caught.value)


def test_the_metric_can_be_the_best_epoch() -> None:
    cells = of_table_1()
    rows = reduced_rows(1, cells, trained(cells), metric=Metric.BEST)
    assert reduced_table(1, rows, suite=SUITE, metric=Metric.BEST).numbers[0].measured == pytest.approx(82.0)
