"""`compare`: two rules, row by row, by the differences of trainings with the same seed."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from made_up import result
from scipy import stats

from asapbench.analysis.comparison import Interval, PairedTest
from asapbench.errors import AsapbenchError, SuiteError
from asapbench.report.compare import ComparedNumber, comparison_table
from asapbench.report.pairs import ComparedSuite
from asapbench.report.quantity import Metric
from asapbench.report.render import Format, render
from asapbench.report.selection import select
from asapbench.report.table import Table
from asapbench.store import Result
from asapbench.suite.catalog import RULES
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse

HEAD = '[suite]\nname = "mine"\n[defaults]\ndataset = "digits"\nepochs = 1\nseeds = [0, 1, 2, 3, 4]\n'
MODELS = 'model = ["resnet10", "resnet10_nsc"]\n'
CELLS = list(parse(f'{HEAD}[[grid]]\nrule = ["asap", "dfa", "fa"]\n{MODELS}lr = 0.1\n', source="mine.toml").cells)
ACCURACY = {
    "asap": (95.0, 94.0, 96.5, 93.5, 95.5),
    "dfa": (93.8, 93.1, 95.4, 93.0, 93.9),
    "fa": (95.1, 93.8, 96.4, 93.7, 95.6),
}


def trained(cells: list[Cell], *diverged: tuple[str, int]) -> list[Result]:
    return [
        result(cell, state="diverged")
        if (cell.rule.name, cell.seed) in diverged
        else result(cell, ACCURACY[cell.rule.name][cell.seed])
        for cell in cells
    ]


def compared(
    *rules: str,
    cells: list[Cell] = CELLS,
    results: list[Result] | None = None,
    test: PairedTest = PairedTest.T,
    interval: Interval = Interval.T,
) -> Table:
    first, second = rules
    suite = ComparedSuite("Mine", "mine.toml", cells, trained(cells) if results is None else results)
    return comparison_table([suite], (first, second), metric=Metric.BEST, test=test, interval=interval)


def texts(table: Table) -> list[list[str]]:
    return [[field.text for field in row.fields] for group in table.groups for row in group.rows]


def footnotes(table: Table) -> list[str]:
    return [note.text for note in table.notes if note.mark]


def test_a_row_has_both_means_the_mean_difference_its_interval_p_and_the_answer() -> None:
    table = compared("asap", "dfa")
    expected = stats.ttest_rel(ACCURACY["asap"], ACCURACY["dfa"])
    low, high = expected.confidence_interval(0.95)
    assert texts(table) == [
        [model, "5", "94.90", "93.84", "+1.06", f"{low:+.2f} to {high:+.2f}", *ps, "ASAP better"]
        for model in ("ResNet-10", "ResNet-10 (nsc)")
        for ps in [(f"{expected.pvalue:.3f}", f"{2 * expected.pvalue:.3f}")]
    ]
    assert table.title == "ASAP compared with DFA"
    assert "ASAP minus DFA, in points, with its 95 % interval of the t distribution" in table.caption
    assert "p: paired t-test, two-sided; p (Holm): corrected for the 2 tests of this table" in table.caption


def test_the_other_order_gives_the_other_sign_and_the_same_answer() -> None:
    assert [row[4] for row in texts(compared("dfa", "asap"))] == ["-1.06", "-1.06"]
    assert [row[-1] for row in texts(compared("dfa", "asap"))] == ["ASAP better", "ASAP better"]


def test_a_difference_that_is_not_significant_is_not_shown() -> None:
    assert [row[-1] for row in texts(compared("asap", "fa"))] == ["no difference shown", "no difference shown"]


def test_a_test_that_can_never_be_significant_with_so_few_seeds_says_so_and_how_many_are_needed() -> None:
    table = compared("asap", "dfa", test=PairedTest.WILCOXON)
    assert [row[-3:] for row in texts(table)] == [["0.062", "0.125", "too few seeds"]] * 2
    assert [note.text for note in table.notes] == [
        "The smallest p that n pairs allow is 2/2^n, before Holm's correction: 0.0625 with n = 5.",
        "Too few seeds: 7 pairs or more are needed for each row. To train more:",
    ]
    assert table.notes[1].commands == ("asapbench run mine.toml --only rule=asap,dfa --seeds 0-6",)


def test_the_t_test_says_what_no_test_could_show_without_its_assumption() -> None:
    assert [note.text for note in compared("asap", "dfa").notes] == [
        "A test without an assumption on the distribution has no p below 2/2^n (0.0625 with n = 5); a smaller p of the "
        "t-test rests on differences that are normally distributed."
    ]


def test_one_seed_has_a_difference_and_no_test() -> None:
    table = compared("asap", "dfa", cells=[cell for cell in CELLS if cell.seed == 0])
    assert [row[1:] for row in texts(table)] == [["1", "95.00", "93.80", "+1.20", "-", "-", "-", "too few seeds"]] * 2
    assert table.notes[-1].text == "Too few seeds: 2 pairs or more are needed for each row. To train more:"
    assert table.notes[-1].commands == ("asapbench run mine.toml --only rule=asap,dfa --seeds 0-4",)


def test_a_diverged_training_is_never_averaged_and_the_lost_pair_is_named() -> None:
    table = compared("asap", "dfa", results=trained(CELLS, ("dfa", 3), ("asap", 4)))
    assert [row[1:4] for row in texts(table)] == [["3", "95.17", "94.10"]] * 2
    assert footnotes(table) == ["2 pairs lost: ASAP diverged with seed 4; DFA diverged with seed 3"]
    number = table.numbers[0]
    assert isinstance(number, ComparedNumber)
    assert (number.lost, number.diverged, number.seeds) == (2, 2, (0, 1, 2))


def test_where_every_training_of_a_rule_diverged_there_is_no_pair() -> None:
    table = compared("asap", "dfa", results=trained(CELLS, *(("dfa", seed) for seed in range(5))))
    assert [row[1:] for row in texts(table)] == [["0", "-", "-", "-", "-", "-", "-", "no pairs"]] * 2
    assert footnotes(table) == ["5 pairs lost: DFA diverged with seeds 0, 1, 2, 3, 4"]


def test_a_seed_that_is_not_finished_by_both_is_counted() -> None:
    results = [one for one in trained(CELLS) if not (one.cell.rule.name == "dfa" and one.cell.seed > 2)]
    table = compared("asap", "dfa", results=results)
    assert [row[1] for row in texts(table)] == ["3", "3"]
    assert footnotes(table) == ["2 seeds for which not both rules have a number"]


def test_finished_trainings_without_the_metric_are_counted() -> None:
    suite = ComparedSuite("Mine", "mine.toml", CELLS, trained(CELLS))
    table = comparison_table([suite], ("asap", "dfa"), metric=Metric.BEST_VAL)
    assert table.notes[-1].text.startswith("20 finished cells have no best-val: it needs examples held out")


def test_one_finished_training_without_the_metric_has_a_sentence_for_one() -> None:
    cells = [cell for cell in CELLS if cell.rule.name != "fa" and cell.seed == 0 and cell.model.name == "resnet10"]
    table = comparison_table([ComparedSuite("Mine", "m", cells, [result(cells[0], 90.0)])], ("asap", "dfa"))
    without = comparison_table(
        [ComparedSuite("Mine", "m", cells, [result(cells[0], 90.0)])], ("asap", "dfa"), metric=Metric.BEST_VAL
    )
    assert without.notes[-1].text.startswith("1 finished cell has no best-val: it needs")
    assert not any("finished cell" in note.text for note in table.notes)


def test_equal_differences_have_no_t_test() -> None:
    cells = [cell for cell in CELLS if cell.rule.name != "fa"]
    results = [result(cell, 90.0 + cell.seed + (cell.rule.name == "asap")) for cell in cells]
    table = compared("asap", "dfa", cells=cells, results=results)
    assert [row[5:] for row in texts(table)] == [["+1.00 to +1.00", "-", "-", "equal differences: no t-test"]] * 2


def test_samples_means_and_answer_are_in_the_long_form() -> None:
    table = compared("asap", "dfa")
    row = next(iter(csv.DictReader(io.StringIO(render(table, Format.CSV)))))
    first, second = ([float(text) for text in row[name].split()] for name in ("first", "second"))
    assert first == pytest.approx(ACCURACY["asap"])
    assert second == pytest.approx(ACCURACY["dfa"])
    assert [float(text) for text in row["samples"].split()] == pytest.approx([1.2, 0.9, 1.1, 0.5, 1.6])
    assert (row["rule"], row["against"], row["unit"], row["verdict"]) == ("asap", "dfa", "points", "ASAP better")
    assert float(row["low"]) < float(row["measured"]) < float(row["high"])


def test_the_bootstrap_interval_is_named_with_its_seed() -> None:
    table = compared("asap", "dfa", interval=Interval.BOOTSTRAP)
    assert "by bootstrap (BCa, 9999 resamples, seed 0)" in table.caption
    assert table.notes[0].text.startswith("With fewer than 20 pairs the bootstrap's interval is too narrow")
    number = table.numbers[0]
    assert isinstance(number, ComparedNumber)
    assert number.low is not None
    assert number.high is not None
    assert 0.5 < number.low < 1.06 < number.high < 1.6


def swept(rule: str, *rates: float) -> list[Cell]:
    return [
        replace(cell, lr=rate)
        for cell in CELLS
        if (cell.rule.name, cell.model.name) == (rule, "resnet10")
        for rate in rates
    ]


def test_a_learning_rate_of_each_rule_may_differ_and_is_named() -> None:
    table = compared("asap", "dfa", cells=[*swept("asap", 0.1), *swept("dfa", 0.01)])
    assert [row[0] for row in texts(table)] == ["ResNet-10"]
    assert footnotes(table) == ["also differs: DFA has lr 0.01 instead of 0.1"]


def test_swept_values_are_rows_of_their_own_and_never_averaged() -> None:
    table = compared("asap", "dfa", cells=[*swept("asap", 0.1, 0.01), *swept("dfa", 0.1, 0.03)])
    assert [row[0] for row in texts(table)] == ["ResNet-10, lr 0.1"]
    assert [note.text for note in table.notes[-2:]] == [
        "1 configuration of ASAP left out that the other rule does not have (ResNet-10 lr 0.01).",
        "1 configuration of DFA left out that the other rule does not have (ResNet-10 lr 0.03).",
    ]


def test_a_sweep_on_one_network_leaves_the_pairs_of_another() -> None:
    other = next(cell.model for cell in CELLS if cell.model.name == "resnet10_nsc")
    cells = [*swept("asap", 0.1), *swept("dfa", 0.03), *(replace(c, model=other) for c in swept("asap", 0.1, 0.01))]
    table = compared("asap", "dfa", cells=cells)
    assert [row[0] for row in texts(table)] == ["ResNet-10"]
    assert footnotes(table) == ["also differs: DFA has lr 0.03 instead of 0.1"]


def test_with_a_choice_of_swept_values_the_chosen_ones_are_compared_and_named() -> None:
    cells = [*swept("asap", 0.1, 0.01), *swept("dfa", 0.03, 0.3)]
    results = [result(one.cell, ACCURACY[one.cell.rule.name][one.cell.seed] - one.cell.lr) for one in trained(cells)]
    # The smaller rate of ASAP and the larger one of DFA.
    validation = {r.attempt.lineage: abs(r.cell.lr - 0.1) for r in results}
    selection = select(cells, results, ("lr",), metric=Metric.LAST, validation=validation)
    suite = ComparedSuite("Mine", "mine.toml", cells, results, selection=selection)
    table = comparison_table([suite], ("asap", "dfa"))
    assert [row[:5] for row in texts(table)] == [["ResNet-10", "5", "93.89", "92.54", "+1.35"]]
    assert footnotes(table) == [
        "also differs: DFA has lr 0.3 instead of 0.01",
        "chosen lr: ASAP 0.01 of 2, DFA 0.3 of 2",
        "ASAP: lr 0.01 is the smallest value tried: a smaller one may be better",
        "DFA: lr 0.3 is the largest value tried: a larger one may be better",
    ]


def test_without_a_common_configuration_the_error_lists_what_there_is() -> None:
    with pytest.raises(AsapbenchError, match=r"no configuration has both rules \(ASAP: ResNet-10 lr 0.1; .*DFA"):
        compared("asap", "dfa", cells=[*swept("asap", 0.1, 0.01), *swept("dfa", 0.03)])


def test_a_rule_with_options_is_spelled_as_in_check() -> None:
    variants = [replace(cell, rule=RULES["asap"].choose({"k": 4})) for cell in CELLS if cell.rule.name == "asap"]
    cells = [*CELLS, *variants]
    assert compared("asap(k=4)", "dfa", cells=cells).title == "ASAP(k=4) compared with DFA"
    assert compared("asap", "asap(k=4)", cells=cells).title == "ASAP compared with ASAP(k=4)"
    only_variants = [*variants, *(cell for cell in CELLS if cell.rule.name == "dfa")]
    assert compared("asap", "dfa", cells=only_variants).title == "ASAP(k=4) compared with DFA"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (("asap", "asap"), "both are ASAP; name two rules"),
        (("asup", "dfa"), "did you mean"),
        (("asap", "kp"), "these cells have no such rule; there are: asap, dfa, fa"),
        (("asap(k=0)", "dfa"), "rule asap"),
    ],
)
def test_a_rule_that_is_not_there_is_an_error_that_lists_those_that_are(rules: tuple[str, str], said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        compared(*rules)


def test_the_same_configurations_of_two_suites_count_once() -> None:
    suites = [ComparedSuite(title, "mine.toml", CELLS, trained(CELLS)) for title in ("One", "Other")]
    table = comparison_table(suites, ("asap", "dfa"), metric=Metric.BEST)
    assert len(texts(table)) == 2


def part_of(title: str, keep: Callable[[Cell], bool]) -> ComparedSuite:
    cells = [cell for cell in CELLS if keep(cell)]
    return ComparedSuite(title, f"{title}.toml", cells, trained(cells))


def test_seeds_of_all_suites_that_hold_a_configuration_are_one_row() -> None:
    suites = [part_of("a_first", lambda cell: cell.seed == 0), part_of("mine", lambda cell: True)]
    table = comparison_table(suites, ("asap", "dfa"), metric=Metric.BEST)
    assert [row[1:] for row in texts(table)] == [row[1:] for row in texts(compared("asap", "dfa"))]
    split = [part_of("even", lambda cell: cell.seed % 2 == 0), part_of("odd", lambda cell: cell.seed % 2 == 1)]
    table = comparison_table(split, ("asap", "dfa"), metric=Metric.BEST)
    assert [row[1:] for row in texts(table)] == [row[1:] for row in texts(compared("asap", "dfa"))]


def test_rules_in_different_suites_are_pairs_where_nothing_but_the_rule_differs() -> None:
    suites = [
        part_of("only_asap", lambda cell: cell.rule.name == "asap"),
        part_of("only_dfa", lambda cell: cell.rule.name == "dfa"),
    ]
    table = comparison_table(suites, ("asap", "dfa"), metric=Metric.BEST)
    assert texts(table) == texts(compared("asap", "dfa"))
    assert not any("left out" in note.text for note in table.notes)
    seed = [replace(one, cells=[cell for cell in one.cells if cell.seed == 0]) for one in suites]
    seed = [replace(one, results=trained(list(one.cells))) for one in seed]
    table = comparison_table(seed, ("asap", "dfa"), metric=Metric.BEST)
    assert table.notes[-1].commands == (
        "asapbench run only_asap.toml --only rule=asap --seeds 0-4",
        "asapbench run only_dfa.toml --only rule=dfa --seeds 0-4",
    )
    other = [replace(cell, lr=0.3) for cell in suites[1].cells]
    with pytest.raises(AsapbenchError, match="no configuration has both rules"):
        comparison_table([suites[0], ComparedSuite("o", "o", other, trained(other))], ("asap", "dfa"))
