"""`report --pareto`: which rules none surpasses, what a panel lacks, and costs of one kind of hardware alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_up import result

from asapbench.errors import AsapbenchError
from asapbench.report.build import report
from asapbench.report.cost import Costs
from asapbench.report.figures.pareto import pareto_figure
from asapbench.report.figures.picture import Illustration, picture
from asapbench.report.quantity import Cost, Metric, Wanted
from asapbench.report.statistics import Spread
from asapbench.report.suite import layout_of
from asapbench.suite.cell import Cell
from asapbench.suite.load import parse

RULES = '["kp", "dfa", { name = "bp", checkpointing = [false, true] }]'
TEXT = (
    '[suite]\nname = "mine"\n[[grid]]\ndataset = "digits"\nmodel = "resnet10"\nepochs = 1\nlr = 0.1\n'
    f"seeds = [0, 1]\nrule = {RULES}\n"
)
ACCURACY = {"kp": 95.0, "dfa": 90.0, "bp": 96.0}
SECONDS = {"kp": 0.003, "dfa": 0.001, "bp": 0.002}


def cells() -> list[Cell]:
    return list(parse(TEXT, source="mine.toml").cells)


def figure(kind: Cost = Cost.TIME) -> Illustration:
    made = cells()
    results = [result(cell, ACCURACY[cell.rule.name] + cell.seed) for cell in made]
    layout = layout_of(made, results, metric=Metric.BEST, file=None, spread=Spread.SD, selection=None)
    seconds = {
        cell.group: SECONDS[cell.rule.name] * (2 if dict(cell.rule.options).get("checkpointing") else 1)
        for cell in made
    }
    return pareto_figure(layout, Costs(kind, seconds), heading="Mine", metric=Metric.BEST, suite="mine")


def test_the_table_says_which_rules_surpass_each_other() -> None:
    rows = [[field.text for field in row.fields] for row in figure().table.groups[0].rows]
    assert rows == [
        ["KP", "95.50 ± 0.71", "3", "1.500", "BP"],
        ["DFA", "90.50 ± 0.71", "1", "0.500", ""],
        ["BP", "96.50 ± 0.71", "2", "1.000", ""],
        ["BP(checkpointing=true)", "96.50 ± 0.71", "4", "2.000", "BP"],
    ]


def test_a_control_that_is_lacking_is_named_with_its_command_and_not_drawn() -> None:
    commands = [command for note in figure().table.notes for command in note.commands]
    assert commands == ["asapbench run mine --only rule=bp --set rule.micro_batches=2"]
    drawn = re.findall(r"<text[^>]*>(.*?)</text>", picture(figure(), ".svg").decode())
    assert {"KP", "DFA", "BP", "BP(checkpointing=true)", "ms a step"} <= set(drawn)
    assert not any("micro_batches" in text for text in drawn)


def test_numbers_in_long_form_are_in_units_without_a_factor() -> None:
    found = {(n.rule, n.unit): n.measured for n in figure().table.numbers}
    assert found["kp", "seconds"] == pytest.approx(0.003)
    assert found["kp", "percent"] == 95.5


def test_nothing_to_draw_is_an_error_that_names_the_cost() -> None:
    layout = layout_of(cells(), [], metric=Metric.BEST, file=None, spread=Spread.SD, selection=None)
    with pytest.raises(AsapbenchError, match="--pareto memory: no rule has both"):
        pareto_figure(layout, Costs(Cost.MEMORY, {}), heading="Mine", metric=Metric.BEST, suite="mine")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(table="1", pareto=Cost.TIME), "--pareto: goes with --suite, not with --table"),
        (Wanted(suite="quickstart", pareto=Cost.TIME, ranks=True), "--pareto: goes without --ranks"),
    ],
)
def test_options_that_do_not_go_together_are_refused(wanted: Wanted, says: str, tmp_path: Path) -> None:
    with pytest.raises(AsapbenchError, match=says):
        report(wanted, url=f"sqlite:///{tmp_path}/none.sqlite")
