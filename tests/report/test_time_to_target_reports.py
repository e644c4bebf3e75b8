"""`report --time-to`: what each rule needs until its validation accuracy first reaches the target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from races import EPYC, XEON, race, reaching, suite_file, train

from asapbench.analysis.memory import accesses_of_epoch
from asapbench.errors import AsapbenchError
from asapbench.report.build import report
from asapbench.report.quantity import TimeTo, Wanted
from asapbench.report.render import Format, render
from asapbench.report.statistics import Spread
from asapbench.report.table import Table
from asapbench.report.time_to import TimeNumber
from asapbench.store import Store
from asapbench.suite.cell import Cell
from asapbench.suite.load import load

EPOCHS, SECONDS, ACCESSES = TimeTo


def table(url: str, to: TimeTo = EPOCHS, **terms: object) -> Table:
    made = report(Wanted(suite="race", time_to=to, **terms), url=url)  # type: ignore[arg-type]
    assert isinstance(made, Table)
    return made


def texts(made: Table) -> list[list[str]]:
    return [[field.text for field in row.fields] for group in made.groups for row in group.rows]


def footnotes(made: Table) -> list[str]:
    return [note.text for note in made.notes if note.mark]


def recorded(folder: Path, **terms: object) -> tuple[str, tuple[Cell, ...]]:
    """An empty database of a suite, and its cells."""
    suite = load(str(suite_file(folder, **terms)))  # type: ignore[arg-type]
    url = f"sqlite:///{folder}/race.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, list(suite.cells), text=suite.text)
    return url, suite.cells


def test_epochs_have_the_median_over_seeds_with_the_smallest_and_the_largest(tmp_path: Path) -> None:
    made = table(race(tmp_path, {(4, "bp"): (1, 4, 3), (4, "fa"): (2, 2, 2)}))
    assert texts(made) == [["ResNet-10", "3 (1 to 4)", "2 (2 to 2)"]]
    assert made.caption == (
        "Epochs until the validation accuracy first reaches 60 %; median over n = 3 seeds (smallest to largest); every "
        "model with width=4."
    )


def test_seconds_are_the_sum_of_the_epochs_up_to_the_one_that_reaches_it(tmp_path: Path) -> None:
    """Epoch n takes n seconds: 1 + 2 + 3 for epoch 3."""
    made = table(race(tmp_path, {(4, "bp"): (3, 3, 4), (4, "fa"): (1, 1, 1)}), SECONDS)
    assert texts(made) == [["ResNet-10", "6 (6 to 10)", "1 (1 to 1)"]]
    assert made.caption.endswith(" On Xeon, 8 cores, torch 2.14.1.")


def test_accesses_are_those_of_the_steps_of_these_epochs_and_a_rule_without_formula_has_none(tmp_path: Path) -> None:
    url = race(tmp_path, {(4, "bp"): (3,), (4, "asap"): (4,), (4, "dfa"): (1,)}, seeds=[0])
    made = table(url, ACCESSES)
    by_rule = {number.rule: number for number in made.numbers}
    cells = {cell.rule.name: cell for cell in load(str(tmp_path / "race.toml")).cells}
    assert by_rule["bp"].measured == 3 * (accesses_of_epoch(cells["bp"]) or 0)
    assert by_rule["asap"].measured == 4 * (accesses_of_epoch(cells["asap"]) or 0)
    assert by_rule["dfa"].measured is None
    assert texts(made)[0][3] == "-"
    assert footnotes(made) == [
        "App. F counts accesses of backpropagation and of activation sharing; this rule, with its options, is neither"
    ]
    assert texts(made)[0][1] == f"{(by_rule['bp'].measured or 0) / 1e9:.3g}"


def test_a_miss_is_infinite_and_the_row_says_how_many_seeds_reached_it(tmp_path: Path) -> None:
    made = table(race(tmp_path, {(4, "bp"): (1, None, 3), (4, "fa"): (2, 2, 2)}))
    assert texts(made) == [["ResNet-10", "3 (1 to ∞)", "2 (2 to 2)"], ["reached", "2 of 3", "3 of 3"]]
    assert "counts as infinitely long" in made.caption


def test_where_the_median_misses_the_best_validation_accuracy_is_shown_never_that_of_test_data(tmp_path: Path) -> None:
    made = table(race(tmp_path, {(4, "bp"): (1, None, None), (4, "fa"): (None, None, None)}))
    assert texts(made) == [
        ["ResNet-10", "not reached", "not reached"],
        ["reached", "1 of 3", "0 of 3"],
        ["best, %", "60.00", "50.00"],
    ]


def test_a_diverged_training_is_a_miss_unless_it_reached_the_target_before(tmp_path: Path) -> None:
    url, cells = recorded(tmp_path)
    with Store.open(url) as store:
        for cell in cells:
            state = "diverged" if cell.seed else "done"
            train(store, cell, reaching(2 if cell.rule.name == "bp" else None), state=state)
    made = table(url)
    assert [row[1:] for row in texts(made)] == [["2 (2 to 2)", "not reached"], ["3 of 3", "0 of 3"], ["", "50.00"]]
    assert footnotes(made) == ["2 diverged of 3, 2 after it had reached the target", "2 diverged of 3"]


def test_a_training_that_is_not_finished_counts_once_it_has_reached_the_target_and_before_that_not_at_all(
    tmp_path: Path,
) -> None:
    url, cells = recorded(tmp_path)
    with Store.open(url) as store:
        for cell in cells:
            reaches = cell.rule.name == "bp" or cell.seed == 0
            train(store, cell, reaching(2 if reaches else None)[:3], state="interrupted")
    made = table(url)
    assert texts(made) == [["ResNet-10", "2 (2 to 2)", "2"], ["n", "3", "1"]]
    assert [(number.rule, number.n, number.missed, number.left) for number in numbers(made)] == [
        ("bp", 3, 0, 0),
        ("fa", 1, 0, 2),
    ]
    assert [note.text for note in made.notes] == ["6 of 6 cells not finished (6 interrupted):"]


def numbers(made: Table) -> list[TimeNumber]:
    return [number for number in made.numbers if isinstance(number, TimeNumber)]


def test_csv_and_json_have_the_finite_times_of_seeds_and_count_the_others(tmp_path: Path) -> None:
    made = table(race(tmp_path, {(4, "bp"): (1, None, 4), (4, "fa"): (None, None, None)}))
    found = json.loads(render(made, Format.JSON))["numbers"]
    kept = [{key: one[key] for key in ("rule", "measured", "n", "samples", "seeds", "missed", "unit")} for one in found]
    assert kept == [
        {"rule": "bp", "measured": 4.0, "n": 3, "samples": [1, 4], "seeds": [0, 2], "missed": 1, "unit": "epochs"},
        {"rule": "fa", "measured": None, "n": 3, "samples": [], "seeds": [], "missed": 3, "unit": "epochs"},
    ]
    assert [one["target"] for one in found] == [60.0, 60.0]
    assert found[1]["best_validation"] == 50.0


@pytest.mark.parametrize("form", [Format.LATEX, Format.MARKDOWN, Format.HTML, Format.CSV, Format.TERMINAL])
def test_every_format_shows_infinite_times(tmp_path: Path, form: Format) -> None:
    made = table(race(tmp_path, {(4, "bp"): (1, None, 3), (4, "fa"): (None, None, None)}))
    infinite = {Format.LATEX: r"$\infty$", Format.CSV: ",,,60.0,0,3,0,50.0,"}.get(form, "∞")
    assert infinite in render(made, form)


def test_a_target_of_the_command_replaces_that_of_the_suite(tmp_path: Path) -> None:
    url = race(tmp_path, {(4, "bp"): (3, 3, 3), (4, "fa"): (2, 2, 2)})
    assert texts(table(url, target=0.5))[0][1:] == ["1 (1 to 1)", "1 (1 to 1)"]
    assert "reaches 50 %" in table(url, target=0.5).caption


def test_a_target_that_the_named_file_got_after_the_run_counts(tmp_path: Path) -> None:
    url = race(tmp_path, {(4, "bp"): (3,), (4, "fa"): (2,)}, target="", seeds=[0])
    with pytest.raises(AsapbenchError, match=r"suite race names no target: add --target 0\.6, or target = 0\.6 under"):
        table(url)
    file = suite_file(tmp_path, target="0.5", seeds=[0])
    made = report(Wanted(suite=str(file), time_to=EPOCHS), url=url)
    assert isinstance(made, Table)
    assert texts(made)[0][1:] == ["1", "1"]


def test_data_sets_have_their_own_targets_and_one_without_is_left_out(tmp_path: Path) -> None:
    more = '[[grid]]\ndataset = ["mnist", "svhn"]\nmodel = { name = "resnet10", width = 4 }\n'
    url, cells = recorded(tmp_path, target="{ digits = 0.6, mnist = 0.55 }", more=more, seeds=[0])
    with Store.open(url) as store:
        for cell in cells:
            train(store, cell, [0.5, 0.55, 0.6, 0.5])
    made = table(url)
    assert [(group.header, group.rows[0].fields[1].text) for group in made.groups] == [("Digits", "3"), ("MNIST", "2")]
    assert "first reaches 60 % (Digits), 55 % (MNIST)" in made.caption
    (note,) = made.notes
    assert note.text == "No target for svhn: add svhn = ... to the suite's target, or use --target."


def test_without_validation_data_nothing_is_timed_and_the_command_to_hold_some_out_is_said(tmp_path: Path) -> None:
    url = race(tmp_path, {(4, "bp"): (1,), (4, "fa"): (1,)}, validation=0, seeds=[0])
    with pytest.raises(AsapbenchError, match="test data take no part") as caught:
        table(url)
    assert str(caught.value).endswith(f"asapbench run {tmp_path}/race.toml --set validation=143 --db {url}")


def test_configurations_without_validation_data_are_left_out_beside_others(tmp_path: Path) -> None:
    more = '[[grid]]\nvalidation = 0\nmodel = { name = "resnet10", width = 8 }\n'
    url, cells = recorded(tmp_path, seeds=[0], more=more)
    with Store.open(url) as store:
        for cell in cells:
            train(store, cell, reaching(2))
    made = table(url)
    assert [row[0] for row in texts(made)] == ["ResNet-10"]
    (note,) = made.notes
    assert note.text.startswith("2 configurations without a time: their trainings hold no examples out for validation")


def test_a_configuration_that_is_also_trained_with_validation_data_is_not_missed(tmp_path: Path) -> None:
    more = '[[grid]]\nvalidation = 0\nmodel = { name = "resnet10", width = 4 }\n'
    url, cells = recorded(tmp_path, seeds=[0], more=more)
    with Store.open(url) as store:
        for cell in cells:
            train(store, cell, reaching(2))
    assert table(url).notes == ()


def test_seconds_of_one_configuration_on_different_hardware_have_no_median(tmp_path: Path) -> None:
    url, cells = recorded(tmp_path)
    with Store.open(url) as store:
        for cell in cells:
            train(store, cell, reaching(2), ran=EPYC if cell.rule.name == "fa" and cell.seed else XEON)
    made = table(url, SECONDS)
    assert texts(made)[0][1:] == ["3 (3 to 3)", "-"]
    assert footnotes(made) == [
        "measured on different hardware, of which no median is taken: EPYC, 64 cores, torch 2.14.1; Xeon, 8 cores, "
        "torch 2.14.1"
    ]
    assert texts(table(url))[0][1:] == ["2 (2 to 2)", "2 (2 to 2)"]


def test_seconds_of_rules_on_different_hardware_are_not_to_be_compared(tmp_path: Path) -> None:
    url, cells = recorded(tmp_path, widths=[4, 8], seeds=[0])
    with Store.open(url) as store:
        for cell in cells:
            other = cell.rule.name == "fa" and cell.model.integer("width") == 8
            train(store, cell, reaching(2), ran=EPYC if other else XEON)
    assert footnotes(table(url, SECONDS)) == [
        "on Xeon, 8 cores, torch 2.14.1",
        "different hardware, not to be compared: BP on Xeon, 8 cores, torch 2.14.1; FA on EPYC, 64 cores, torch 2.14.1",
    ]
    assert footnotes(table(url)) == []


def test_a_swept_value_is_chosen_by_validation_accuracy_and_its_time_is_shown(tmp_path: Path) -> None:
    url, cells = recorded(tmp_path, seeds=[0], more='[[grid]]\nlr = 0.01\nmodel = { name = "resnet10", width = 4 }\n')
    with Store.open(url) as store:
        for cell in cells:
            better = (cell.lr == 0.1) == (cell.rule.name == "bp")
            train(store, cell, [0.5, 0.6, 0.7, 0.8] if better else [0.6, 0.6, 0.6, 0.6])
    assert [row[0] for row in texts(table(url))] == ["ResNet-10, lr 0.1", "ResNet-10, lr 0.01"]
    assert texts(table(url, select="lr")) == [["ResNet-10", "2", "2"], ["lr", "0.1 of 2", "0.01 of 2"]]


def test_where_nothing_can_be_chosen_no_time_of_a_value_is_shown(tmp_path: Path) -> None:
    """Both values of FA diverged, one after it had reached the target."""
    url, cells = recorded(tmp_path, seeds=[0], more='[[grid]]\nlr = 0.01\nmodel = { name = "resnet10", width = 4 }\n')
    with Store.open(url) as store:
        for cell in cells:
            train(store, cell, reaching(2), state="diverged" if cell.rule.name == "fa" else "done")
    made = table(url, select="lr")
    assert texts(made) == [["ResNet-10", "2", "-"], ["lr", "0.1 of 2", "-"]]
    assert [number.measured for number in numbers(made)] == [2, None]
    assert "no value of lr can be compared: 2 with a diverged training" in footnotes(made)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(table="1", time_to=EPOCHS), "--time-to: goes with --suite, not with --table; leave it out"),
        (Wanted(suite="race", target=0.5), "--target: goes with --time-to: add --time-to epochs, seconds or accesses"),
        (Wanted(suite="race", profile=True), "--profile: goes with --time-to: add"),
        (
            Wanted(suite="race", time_to=EPOCHS, target=60.0),
            "--target: a target must be a fraction above 0 and up to 1",
        ),
        (
            Wanted(suite="race", time_to=EPOCHS, ranks=True),
            "--ranks: does not go with --time-to: times have a --profile",
        ),
        (Wanted(suite="race", time_to=EPOCHS, spread=Spread.CI), "--spread: does not go with --time-to"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_error(tmp_path: Path, wanted: Wanted, says: str) -> None:
    url = race(tmp_path, {(4, "bp"): (1,), (4, "fa"): (1,)}, seeds=[0])
    with pytest.raises(AsapbenchError) as caught:
        report(wanted, url=url)
    assert str(caught.value).startswith(says)
