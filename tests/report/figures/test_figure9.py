"""Figure 9: bars of the suite's cells and no others, what is missing with its command, and Table 1's number beside."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
from figure_commands import BARE, report
from made_up import result
from matplotlib.text import Text

from asapbench.report.figures.matching import SUITE, dimension_matching
from asapbench.report.figures.picture import SUFFIXES, picture
from asapbench.report.published import printed_table
from asapbench.report.quantity import Metric
from asapbench.store import Result, Store
from asapbench.suite.load import load
from asapbench.suite.select import only

CELLS = load(SUITE).cells
ACCURACIES = {"max": (77.0, 78.5, 78.0), "average": (74.0, 75.0, 77.5), "random": (70.0, 71.0, 69.5)}


def trained(*matchings: str) -> list[Result]:
    return [
        result(cell.with_seed(seed), percent)
        for cell in CELLS
        if cell.rule["matching"] in matchings
        for seed, percent in enumerate(ACCURACIES[str(cell.rule["matching"])])
    ]


def texts(results: list[Result], metric: Metric = Metric.BEST) -> list[list[str]]:
    (group,) = dimension_matching(results, metric=metric).table.groups
    return [[field.text for field in row.fields] for row in group.rows]


def test_each_bar_is_the_mean_and_spread_over_the_seeds_of_its_cell() -> None:
    table = dimension_matching(trained("max", "average", "random")).table
    assert [number.rule for number in table.numbers] == ["asap", "asap(matching=average)", "asap(matching=random)"]
    for number, samples in zip(table.numbers, ACCURACIES.values(), strict=True):
        assert number.measured == pytest.approx(fmean(samples))
        assert number.sd == pytest.approx(stdev(samples))
        assert number.n == 3
    assert "best test epoch" in table.caption
    assert "numbers of the printed figure are not known" in table.caption
    assert not table.notes


def test_only_the_cell_that_table_1_prints_has_a_published_number() -> None:
    (printed,) = [n.value for n in printed_table(1).numbers if n.key[:3] == ("cifar10", "alexnet", "asap")]
    assert [number.published for number in dimension_matching([]).table.numbers] == [printed, None, None]


def test_what_is_missing_is_a_dash_with_the_command_that_trains_exactly_that() -> None:
    assert [row[1] for row in texts(trained("average"))] == ["-", "75.50 ± 1.80", "-"]
    (note,) = dimension_matching(trained("average")).table.notes
    (command,) = note.commands
    words = shlex.split(command)
    assert words[:3] == ["asapbench", "run", SUITE]
    assert {cell.rule["matching"] for cell in only(CELLS, [words[words.index("--only") + 1]])} == {"max", "random"}
    assert dimension_matching([]).table.notes[0].commands == (f"asapbench run {SUITE}",)


def test_deviating_unfinished_and_outdated_cells_are_in_no_bar() -> None:
    (cell, *_), percent = CELLS, 50.0
    others = [
        result(replace(cell, epochs=2), percent),
        result(replace(cell, lr=0.1), percent),
        result(cell.with_seed(5), percent, state="running"),
        result(cell.with_seed(6), percent, cell_id="0" * 64),
    ]
    assert texts(others) == texts([])


def test_an_unfinished_cell_is_not_reported_as_missing() -> None:
    under_way = dimension_matching([*trained("average", "random"), result(CELLS[0], 50.0, state="running")])
    (note,) = under_way.table.notes
    assert note.text.startswith("1 training started and not finished (1 running)")
    assert note.commands == (f"asapbench resume {SUITE}",)
    assert "started, not finished" in {text.get_text() for text in under_way.draw(BARE).axes[0].texts}


def test_finished_cells_without_the_metric_are_not_reported_as_missing() -> None:
    (note,) = dimension_matching(trained("max", "average", "random"), metric=Metric.BEST_VAL).table.notes
    assert note.text.startswith("9 finished trainings have no best-val")
    assert f"asapbench run {SUITE} --set validation=5000" in note.commands


def test_the_metric_selects_the_epoch() -> None:
    assert texts(trained("max"), Metric.LAST)[0][1] == "76.83 ± 0.76"
    assert texts(trained("max"), Metric.BEST)[0][1] == "77.83 ± 0.76"


def test_a_diverged_cell_is_named_so() -> None:
    assert texts([result(CELLS[0], state="diverged")])[0][1] == "diverged"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("matchings", [(), ("average",), ("max", "average", "random")])
def test_it_can_be_drawn_whatever_is_missing(matchings: tuple[str, ...], suffix: str) -> None:
    diverged = [result(CELLS[2], state="diverged")] if "random" not in matchings else []
    assert len(picture(dimension_matching([*trained(*matchings), *diverged]), suffix)) > 5000


def test_bars_are_as_high_as_the_numbers() -> None:
    (axes,) = dimension_matching(trained("max", "random")).draw(BARE).axes
    heights = [patch.get_height() for patch in axes.patches]
    assert heights == pytest.approx([fmean(ACCURACIES["max"]), fmean(ACCURACIES["random"])])
    assert "not measured" in {text.get_text() for text in axes.texts}


def test_an_empty_database_is_reported_with_the_command_that_names_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/results.sqlite"
    Store.open(url).close()
    assert f"asapbench run {SUITE} --db {url}" in report("--figure", "9", "--db", url)
    target = tmp_path / "figure.png"
    report("--figure", "9", "--db", url, "--out", str(target))
    assert target.read_bytes().startswith(b"\x89PNG")


def test_deviating_cells_have_their_own_bar_only_on_request() -> None:
    short = [result(replace(cell, epochs=2), 40.0) for cell in CELLS if cell.rule["matching"] == "random"]
    assert [row[1] for row in texts(short)] == ["-", "-", "-"]
    found = dimension_matching([*trained("max"), *short], allow_deviations=True).table
    (group,) = found.groups
    assert [row.fields[1].text for row in group.rows] == ["77.83 ± 0.76", "-", "-", "40.00"]
    assert found.notes[0].text.endswith("differs from this figure's cell: epochs 2 instead of 200")
    assert [number.variant for number in found.numbers] == ["", "", "", "epochs 2 instead of 200"]


def test_cells_that_deviate_are_drawn_and_named() -> None:
    short = [result(replace(cell, epochs=2), 40.0) for cell in CELLS]
    made = dimension_matching(short, allow_deviations=True)
    (axes,) = made.draw(BARE).axes
    assert [bar.get_height() for bar in axes.patches] == [40.0] * 3
    assert [label.get_text().split()[-1] for label in axes.get_xticklabels()[3:]] == ["[a]"] * 3
    said = " ".join(text.get_text() for text in made.draw().findobj(Text))
    assert "[a] differs: epochs 2 instead of 200" in said.replace("\n", " ")
