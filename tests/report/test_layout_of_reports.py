"""Digits, rows and columns, heading and width of a report are options of every command that makes one."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
import typer
from made_up import result, shipped_cell
from typer.testing import CliRunner

from asapbench.cli import analyze
from asapbench.cli.compare import compare
from asapbench.cli.report import report
from asapbench.errors import AsapbenchError
from asapbench.report.layout import Layout, arranged, transposed, with_digits
from asapbench.report.paper import accuracy_table
from asapbench.report.render import Format, render
from asapbench.report.suite import suite_table
from asapbench.report.table import Table
from asapbench.suite.load import load

app = typer.Typer()
app.command()(report)
app.command()(compare)
app.add_typer(analyze.app, name="analyze")

RESULTS = [result(shipped_cell("mnist", "alexnet", "bp", seed=seed), 99.123456 + seed / 7) for seed in range(3)]
TABLE = accuracy_table(1, RESULTS)


def run(*words: str) -> str:
    found = CliRunner().invoke(app, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.mark.parametrize("form", [Format.TERMINAL, Format.MARKDOWN, Format.HTML, Format.LATEX])
@pytest.mark.parametrize(
    ("digits", "mean", "published"), [(0, "99", "100"), (1, "99.3", "99.6"), (3, "99.266", "99.590")]
)
def test_digits_hold_in_every_format_and_come_from_the_unrounded_numbers(
    form: Format, digits: int, mean: str, published: str
) -> None:
    text = render(with_digits(TABLE, digits), form)
    assert re.search(rf"(?<![\d.]){re.escape(mean)}(?![\d.])", text)
    assert re.search(rf"(?<![\d.]){re.escape(published)}(?![\d.])", text)
    assert "99.59 " not in text


def test_digits_hold_in_the_order_of_the_rules_too() -> None:
    cells = [cell for cell in load("quickstart").cells if cell.model.name == "resnet10"]
    table = suite_table("quickstart", cells, [result(cell, 90.0 + cell.seed / 7) for cell in cells])
    assert "BP 89.14" in table.summary
    assert "BP 89.1," in with_digits(table, 1).summary


def test_digits_round_percentages_in_csv_and_json_but_no_learning_rate(tmp_path: Path) -> None:
    table = with_digits(TABLE, 1)
    first = next(csv.DictReader(io.StringIO(render(table, Format.CSV))))
    assert (first["measured"], first["sd"], first["published"], first["difference"]) == ("99.3", "0.1", "99.6", "-0.3")
    assert json.loads(render(table, Format.JSON))["numbers"][0]["measured"] == 99.3
    rates = csv.DictReader(io.StringIO(run("report", "--table", "3", "--digits", "1", "--format", "csv")))
    assert {row["published"] for row in rates} >= {"0.0001", "0.03"}


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (("report", "--table", "1", "--reduced", "measured_cpu"), "measured sd published gap published_gap"),
        (("compare", "asap", "dfa", "--suite", "quickstart"), "measured sd low high"),
        (("report", "--tuned", "tuned_small"), "measured sd published difference low high validation"),
    ],
)
def test_digits_round_what_else_of_a_number_is_in_its_unit(words: tuple[str, ...], columns: str) -> None:
    rows = list(csv.DictReader(io.StringIO(run(*words, "--measured", "--digits", "1", "--format", "csv"))))
    for column in columns.split():
        values = [row[column] for row in rows if row[column]]
        assert values, column
        assert all(re.fullmatch(r"-?\d+\.\d", value) for value in values), (column, values)


def by_place(table: Table, *, names_rules: bool) -> dict[tuple[str, str, str, str], str]:
    """Each text by data set, model, rule and line; the rows name rules, or models."""
    found = {}
    for group in table.groups:
        name = ""
        for first, *fields in (row.fields for row in group.rows):
            line = first.text if first.indent else "measured"
            name = name if first.indent else first.text
            for column, field in zip(table.columns[1:], fields, strict=True):
                model, rule = (column.title, name) if names_rules else (name, column.title)
                if field.text:
                    found[group.header, model, rule, line] = field.text
    return found


def test_transposing_keeps_every_number_of_its_data_set_model_and_rule() -> None:
    before, after = by_place(TABLE, names_rules=False), by_place(transposed(TABLE), names_rules=True)
    assert after == before
    assert before["MNIST", "AlexNet", "BP", "difference"] == "-0.32"


def test_without_caption_latex_is_a_bare_tabular_and_the_others_start_with_the_rows() -> None:
    bare = arranged(TABLE, Layout(no_caption=True))
    text = render(bare, Format.LATEX)
    assert not re.search(r"\\(caption|label|begin\{table)", text)
    assert r"\begin{tabular}" in text
    assert render(bare, Format.MARKDOWN).startswith("| Model")
    assert render(bare, Format.TERMINAL).split()[0] == "Model"
    assert "<h1" not in render(bare, Format.HTML)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--digits", "1", "--out", "f.png"), "--digits: a picture has no digits"),
        (("--transpose", "--out", "f.svg"), "--transpose: a picture has no rows"),
        (("--label", "tab:x"), r"--label: only LaTeX has a \\label"),
        (("--label", "tab:x", "--no-title", "--format", "latex"), "--label: a bare tabular has none"),
        (("--label", "a b}", "--out", "f.tex"), r"--label a b}: write letters, digits and"),
        (("--width", "3.3in", "--out", "f.csv"), "--width: only pictures and LaTeX have a width"),
        (("--width", "3.3", "--out", "f.png"), "--width 3.3: write a length with its unit, as in 3.3in"),
        (("--width", "1mm", "--out", "f.png"), "--width 1mm: must be from 1.5 to 50 inches"),
    ],
)
@pytest.mark.parametrize("command", [("report", "--figure", "11"), ("analyze", "memory")], ids=" ".join)
def test_an_option_without_an_effect_is_refused(
    command: tuple[str, ...], words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AsapbenchError, match=says):
        run(*command, *words)
    assert not list(tmp_path.iterdir())
