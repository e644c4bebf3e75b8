"""`report --time-to ... --profile`: the rules' performance profiles over the rows of a suite."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from figure_commands import BARE
from races import EPYC, XEON, race, reaching, suite_file, train

from asapbench.errors import AsapbenchError
from asapbench.report.build import report
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.quantity import TimeTo, Wanted
from asapbench.report.render import Format, render
from asapbench.store import Store
from asapbench.suite.catalog import RULES
from asapbench.suite.load import load

THREE_ROWS = {
    (4, "bp"): (1, 1, 1),
    (4, "fa"): (2, 2, 2),
    (6, "bp"): (4, 4, 4),
    (6, "fa"): (2, 2, 2),
    (8, "bp"): (None, None, 1),
    (8, "fa"): (3, 3, 3),
}
"""Ratios 1, 2, none of BP, and 2, 1, 1 of FA: as in `test_three_problems_by_hand`."""


def figure(url: str, to: TimeTo = TimeTo.EPOCHS, **terms: object) -> Illustration:
    made = report(Wanted(suite="race", time_to=to, profile=True, **terms), url=url)  # type: ignore[arg-type]
    assert isinstance(made, Illustration)
    return made


def rows(made: Illustration) -> list[list[str]]:
    return [[field.text for field in row.fields] for row in made.table.groups[0].rows]


def notes(made: Illustration) -> list[str]:
    return [note.text for note in made.table.notes]


def test_the_table_has_the_scores_and_the_profiles_at_some_factors_the_best_first(tmp_path: Path) -> None:
    made = figure(race(tmp_path, THREE_ROWS))
    assert [column.title for column in made.table.columns] == [
        "Rule",
        "score",
        "fastest",
        "within 2x",
        "within 4x",
        "reached",
    ]
    assert rows(made) == [
        ["FA", "0.89", "0.67", "1.00", "1.00", "1.00"],
        ["BP", "0.56", "0.33", "0.67", "0.67", "0.67"],
    ]
    assert made.table.caption.startswith("Share of 3 rows, each a model on a data set, in which a rule's epochs until")


def test_the_long_form_has_every_ratio_from_which_the_curves_follow(tmp_path: Path) -> None:
    found = json.loads(render(figure(race(tmp_path, THREE_ROWS)).table, Format.JSON))["numbers"]
    ratios = [(one["model"], one["rule"], one["measured"]) for one in found if "ratio" in one["metric"]]
    assert ratios == [
        ("resnet10(width=4)", "bp", 1.0),
        ("resnet10(width=4)", "fa", 2.0),
        ("resnet10(width=6)", "bp", 2.0),
        ("resnet10(width=6)", "fa", 1.0),
        ("resnet10(width=8)", "bp", None),
        ("resnet10(width=8)", "fa", 1.0),
    ]
    scores = {one["rule"]: one["measured"] for one in found if "score" in one["metric"]}
    assert scores == {"fa": pytest.approx(8 / 9), "bp": pytest.approx(5 / 9)}


def test_the_picture_has_one_line_of_each_rule_that_steps_up_where_a_row_is_reached(tmp_path: Path) -> None:
    (axes,) = figure(race(tmp_path, THREE_ROWS)).draw(BARE).axes
    lines = {line.get_label(): line for line in axes.lines}
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert [list(line.get_ydata())[:2] for line in curves] == [
        [pytest.approx(2 / 3), pytest.approx(1.0)],
        [pytest.approx(1 / 3), pytest.approx(2 / 3)],
    ]
    assert [list(line.get_xdata())[:2] for line in curves] == [[1.0, 2.0], [1.0, 2.0]]
    assert len({line.get_color() for line in curves}) == 2
    assert lines


def test_the_legend_has_the_scores(tmp_path: Path) -> None:
    drawn = re.findall(r"<text[^>]*>(.*?)</text>", picture(figure(race(tmp_path, THREE_ROWS)), ".svg").decode())
    assert {"FA 0.89", "BP 0.56"} <= {" ".join(text.split()) for text in drawn}


def test_fewer_than_three_rows_are_refused_with_the_way_out(tmp_path: Path) -> None:
    two = {place: epochs for place, epochs in THREE_ROWS.items() if place[0] != 8}
    with pytest.raises(AsapbenchError, match=r"--profile: 2 rows in which all 2 rules have a time, and .* 3 or more"):
        figure(race(tmp_path, two))


def test_one_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsapbenchError, match="--profile: 1 rule with a time, and a profile compares 2 or more"):
        figure(race(tmp_path, {place: epochs for place, epochs in THREE_ROWS.items() if place[1] == "bp"}))


def test_a_row_with_an_unfinished_training_is_left_out_and_counted(tmp_path: Path) -> None:
    made = figure(race(tmp_path, {**THREE_ROWS, (10, "bp"): (1, 1), (10, "fa"): (1, 1, 1)}))
    assert rows(made) == rows(figure(f"sqlite:///{tmp_path}/race.sqlite", only=["model.width=4,6,8"]))
    assert "1 row left out in which a rule has no complete time." in notes(made)


def test_a_row_in_which_no_rule_reaches_the_target_counts_for_none(tmp_path: Path) -> None:
    missed = (None, None, None)
    made = figure(race(tmp_path, {**THREE_ROWS, (10, "bp"): missed, (10, "fa"): missed}))
    assert [row[-1] for row in rows(made)] == ["0.75", "0.50"]
    assert notes(made)[0] == "1 row in which no rule reached the target count for none."


def test_a_picture_is_drawn_where_no_rule_reaches_the_target_in_any_row(tmp_path: Path) -> None:
    url = race(tmp_path, {(width, rule): (None,) for width in (4, 6, 8) for rule in ("bp", "fa")}, seeds=[0])
    drawn = re.findall(r"<text[^>]*>(.*?)</text>", picture(figure(url), ".svg").decode())
    assert {"BP 0.00", "FA 0.00"} <= {" ".join(text.split()) for text in drawn}


def test_a_control_that_is_not_in_the_suite_file_takes_no_part(tmp_path: Path) -> None:
    url = race(tmp_path, THREE_ROWS)
    control = RULES["bp"].choose({"micro_batches": 2})
    suite = load(str(tmp_path / "race.toml"))
    more = [replace(cell, rule=control) for cell in suite.cells if cell.rule.name == "bp"]
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, [*suite.cells, *more], text=suite.text)
        for cell in more:
            train(store, cell, reaching(1))
    made = figure(url)
    assert [row[0] for row in rows(made)] == ["FA", "BP"]
    assert "Not in the suite file, and not compared: BP(micro_batches=2)." in notes(made)
    assert not any("in any row" in note for note in notes(made))


def test_rows_measured_on_different_hardware_are_not_compared_in_seconds(tmp_path: Path) -> None:
    suite = load(str(suite_file(tmp_path, widths=[4, 6, 8, 10], seeds=[0])))
    url = f"sqlite:///{tmp_path}/race.sqlite"
    with Store.open(url) as store:
        store.record_suite(suite.name, suite.source, list(suite.cells), text=suite.text)
        for cell in suite.cells:
            apart = cell.model.integer("width") == 10 and cell.rule.name == "fa"
            train(store, cell, reaching(2), ran=EPYC if apart else XEON)
    made = figure(url, TimeTo.SECONDS)
    assert "Share of 3 rows" in made.table.caption
    assert "1 of them for times on different hardware, which are not compared." in notes(made)
    assert "Share of 4 rows" in figure(url).table.caption


def test_a_rule_without_formula_is_left_out_of_profiles_of_accesses(tmp_path: Path) -> None:
    third = {(width, "dfa"): (1, 1, 1) for width in (4, 6, 8)}
    made = figure(race(tmp_path, {**THREE_ROWS, **third}), TimeTo.ACCESSES)
    assert [row[0] for row in rows(made)] == ["FA", "BP"]
    assert "No accesses of DFA in any row: left out." in notes(made)


def test_swept_values_are_never_compared_together(tmp_path: Path) -> None:
    more = '[[grid]]\nlr = 0.01\nmodel = { name = "resnet10", width = [4, 6, 8] }\n'
    url = race(tmp_path, THREE_ROWS, more=more)
    with pytest.raises(AsapbenchError, match="--profile: BP, FA have several values on one network: choose one with"):
        figure(url)
