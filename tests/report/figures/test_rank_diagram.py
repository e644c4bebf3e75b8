"""`report --ranks`: average ranks over the rows of a suite, and the diagram of their critical difference."""

import re
from dataclasses import replace

import pytest
from made_up import result

from asapbench.errors import AsapbenchError
from asapbench.report.build import report
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.figures.ranks import ranks_figure, ranks_of
from asapbench.report.quantity import Metric, Wanted
from asapbench.report.statistics import Spread
from asapbench.report.suite import Layout, layout_of
from asapbench.store import Result
from asapbench.suite.catalog import RULES as CATALOG
from asapbench.suite.cell import Cell
from asapbench.suite.load import Suite, parse

RULES = ("bp", "kp", "asap", "dfa", "fa")
BASE = dict(zip(RULES, (96.0, 95.0, 94.0, 85.0, 80.0), strict=True))
HEAD = '[suite]\nname = "mine"\n[defaults]\ndataset = "digits"\nepochs = 1\nlr = 0.1\n[[grid]]\n'


def cells(rows: int) -> list[Cell]:
    widths = ", ".join(str(2 + row) for row in range(rows))
    text = f'{HEAD}rule = {list(RULES)}\nmodel = {{ name = "resnet10", width = [{widths}] }}\n'
    return list(parse(text, source="mine.toml").cells)


def trained(made: list[Cell]) -> list[Result]:
    """BP and KP change places in every second row."""
    found = []
    for cell in made:
        swapped = {"bp": "kp", "kp": "bp"}.get(cell.rule.name) if cell.model.integer("width") % 2 else None
        found.append(result(cell, BASE[swapped or cell.rule.name]))
    return found


def layout(made: list[Cell], results: list[Result] | None = None) -> Layout:
    results = trained(made) if results is None else results
    return layout_of(made, results, metric=Metric.BEST, file=None, spread=Spread.SD, selection=None)


def figure(rows: int = 6) -> Illustration:
    return ranks_figure(layout(cells(rows)), heading="Mine", metric=Metric.BEST)


def test_the_table_has_the_rules_by_average_rank_and_marks_those_that_are_not_shown_to_be_worse() -> None:
    made = figure().table
    rows = [[field.text for field in row.fields] for row in made.groups[0].rows]
    assert rows == [["BP", "1.50"], ["KP", "1.50"], ["ASAP", "3.00"], ["DFA", "4.00"], ["FA", "5.00"]]
    # 2.728 sqrt(5 * 6 / (6 * 6)) = 2.49
    assert "over 6 rows" in made.caption
    assert "critical difference at 5 %: 2.49" in made.caption
    strong = [row.fields[0].text for row in made.groups[0].rows if row.fields[1].emphasis == "strong"]
    assert strong == ["BP", "KP", "ASAP"]
    assert [(number.rule, number.measured, number.n, number.unit) for number in made.numbers][:1] == [
        ("bp", 1.5, 6, "rank")
    ]


def test_the_diagram_joins_rules_that_are_not_shown_to_differ() -> None:
    assert ranks_of(layout(cells(6))).runs == [(0, 2), (2, 4)]


def test_the_diagram_is_drawn_with_each_rule_its_rank_and_the_critical_difference() -> None:
    drawn = [
        " ".join(text.split()) for text in re.findall(r"<text[^>]*>(.*?)</text>", picture(figure(), ".svg").decode())
    ]
    assert {"BP 1.50", "KP 1.50", "ASAP 3.00", "DFA 4.00", "FA 5.00", "critical difference 2.49"} <= set(drawn)


CONTROL = CATALOG["bp"].choose({"checkpointing": True})


def with_controls(made: list[Cell]) -> list[Cell]:
    return [*made, *(replace(cell, rule=CONTROL) for cell in made if cell.rule.name == "bp")]


def test_a_control_of_a_suite_is_ranked_as_a_rule_of_its_own() -> None:
    made = with_controls(cells(6))
    found = ranks_of(layout(made, trained(cells(6)) + [result(cell, 97.0) for cell in made if cell.rule == CONTROL]))
    assert found.of_rules[CONTROL] == 1.0
    assert len(found.rows) == 6


def test_a_control_that_is_not_in_the_suite_file_leaves_the_ranks_of_its_rows_as_they_are() -> None:
    made = with_controls(cells(6))
    file = Suite("mine", "Mine", "mine.toml", tuple(cells(6)))
    given = layout_of(made, trained(made), metric=Metric.BEST, file=file, spread=Spread.SD, selection=None)
    assert ranks_of(given).of_rules == ranks_of(layout(cells(6))).of_rules
    table = ranks_figure(given, heading="Mine", metric=Metric.BEST).table
    assert "Not in the suite file, and not compared: BP(checkpointing=true)." in [note.text for note in table.notes]


def test_too_few_rows_are_an_error_that_says_how_many_are_needed() -> None:
    with pytest.raises(AsapbenchError, match="2 rows in which all 5 rules have a number, none diverged; 3 or more"):
        ranks_of(layout(cells(2)))


def test_two_rules_are_for_compare() -> None:
    made = [cell for cell in cells(6) if cell.rule.name in ("bp", "fa")]
    with pytest.raises(AsapbenchError, match="2 rules measured, and ranks need 3 or more; `asapbench compare`"):
        ranks_of(layout(made))


def test_a_row_with_a_diverged_or_missing_number_is_left_out_and_counted() -> None:
    made = cells(6)
    results = [result(made[0], state="diverged"), *trained(made)[1:-1]]
    found = ranks_of(layout(made, results))
    assert (len(found.rows), found.left_out) == (4, 2)
    table = ranks_figure(layout(made, results), heading="Mine", metric=Metric.BEST).table
    assert "2 rows left out in which a rule has no number or diverged." in [note.text for note in table.notes]


def test_nothing_is_marked_where_friedmans_test_shows_no_difference() -> None:
    made = cells(4)
    orders = [(96, 95, 94, 93, 92), (92, 93, 94, 95, 96), (95, 96, 92, 93, 94), (93, 92, 96, 94, 95)]
    results = [
        result(cell, float(orders[cell.model.integer("width") - 2][RULES.index(cell.rule.name)])) for cell in made
    ]
    table = ranks_figure(layout(made, results), heading="Mine", metric=Metric.BEST).table
    assert not any(field.emphasis == "strong" for row in table.groups[0].rows for field in row.fields)
    assert table.notes[0].text == "Friedman's test does not show that the rules differ: nothing is marked as best."
    assert ranks_of(layout(made, results)).runs == [(0, 4)]


def test_swept_values_are_never_ranked_together() -> None:
    made = cells(6)
    both = [*made, *(replace(cell, lr=0.01) for cell in made if cell.rule.name == "asap")]
    with pytest.raises(AsapbenchError, match="ASAP has several values on one network: choose one with --select"):
        ranks_of(layout(both))


def test_ranks_go_with_a_suite() -> None:
    with pytest.raises(AsapbenchError, match="--ranks: goes with --suite, not with --table"):
        report(Wanted(ranks=True, table="1"), url="sqlite:///none.sqlite")
