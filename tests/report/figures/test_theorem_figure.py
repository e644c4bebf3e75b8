"""`analyze theorem`: the table, the long numbers and the picture of the numerical check."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from figure_commands import BARE, analyze

from asapbench.analysis.theorem import CASES, Sizes, runs
from asapbench.errors import AsapbenchError
from asapbench.report.figures.theorem import theorem_check

SMALL = ("theorem", "--runs", "2", "--sizes", "5,4,2")


def test_the_table_has_one_row_per_case_and_states_what_it_shows() -> None:
    text = analyze(*SMALL)
    in_one_line = " ".join(text.split())
    assert "n_h, n_x, n_y = 5, 4, 2; 2 random draws" in in_one_line
    for case in CASES:
        assert sum(line.startswith(case.title) for line in text.splitlines()) == 1
        assert f"{case.shows}." in in_one_line


def test_the_long_numbers_are_those_of_the_runs() -> None:
    rows = csv.DictReader(io.StringIO(analyze(*SMALL, "--format", "csv")))
    found = {row["variant"]: row for row in rows}
    for case in CASES:
        own = runs(case, Sizes(5, 4, 2), 2)
        row = found[f"{case.name}, largest |W|^2"]
        assert float(row["measured"]) == pytest.approx(sum(run.weights.max() for run in own) / 2)
        assert int(row["n"]) == 2
        shown = found[f"{case.name}, as noted, share of the draws that ended"]
        assert float(shown["measured"]) == sum(map(case.holds, own)) / 2
        bounded = f"{case.name}, largest |W|^2 over Lemma 4's bound or its start" in found
        assert bounded == (own[0].bound is not None)


def test_counts_are_of_the_draws_not_assumed() -> None:
    """A row whose claim fails in every draw says so."""
    by_name = {
        case.name: row for case, row in zip(CASES, theorem_check((5, 4, 2), count=2).table.groups[0].rows, strict=True)
    }
    assert [field.text for field in by_name["rank_below_outputs"].fields[1:2]] == ["0 of 2"]
    assert [field.text for field in by_name["zero"].fields[1:2]] == ["2 of 2"]
    assert by_name["opposed"].fields[3].text == "0 of 2"
    assert by_name["random"].fields[7].text == "-"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_picture_can_be_drawn(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"theorem.{suffix}"
    analyze(*SMALL, "--out", str(path))
    assert path.stat().st_size > 5000


def test_each_panel_has_one_line_per_case_and_the_theorems_case_on_top() -> None:
    figure = theorem_check((5, 4, 2), count=2).draw(BARE)
    bounded = sum(runs(case, Sizes(5, 4, 2), 1)[0].bound is not None for case in CASES)
    assert [len(axes.lines) for axes in figure.axes] == [*[len(CASES)] * 3, bounded + 1]
    for axes in figure.axes:
        first, *others = axes.lines[: len(CASES)]
        assert first.get_zorder() > max(line.get_zorder() for line in others)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("12,8", "--sizes 12,8: three numbers are needed"),
        ("8,12,4", "--sizes 8,12,4: the theorem needs"),
        ("a", "--sizes a: write whole"),
        ("65,8,4", "at most 64"),
    ],
)
def test_sizes_that_make_no_network_are_refused(given: str, says: str) -> None:
    with pytest.raises(AsapbenchError, match=says):
        analyze("theorem", "--sizes", given)
