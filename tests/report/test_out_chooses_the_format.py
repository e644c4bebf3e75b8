"""The ending of the file that `--out` names is its format; what says nothing or something else is refused."""

import csv
import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asapbench.cli import analyze
from asapbench.cli.bench import bench
from asapbench.cli.report import report
from asapbench.errors import AsapbenchError

app = typer.Typer()
app.command()(report)
app.command()(bench)
app.add_typer(analyze.app, name="analyze")

COMMANDS = [("report", "--table", "3"), ("report", "--figure", "11"), ("analyze", "memory", "--model", "resnet18")]


def run(*words: str) -> str:
    found = CliRunner().invoke(app, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def kind(text: str) -> str:
    if text.startswith("{"):
        return "json" if json.loads(text)["numbers"] else "nothing"
    if text.startswith("% Needs"):
        return "latex"
    if text.startswith("<!doctype html>"):
        return "html"
    if text.startswith("**"):
        return "markdown"
    return "csv" if "measured" in next(csv.reader(io.StringIO(text))) else "terminal"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("r.csv", "csv"),
        ("r.JSON", "json"),
        ("r.tex", "latex"),
        ("r.md", "markdown"),
        ("r.html", "html"),
        ("r.txt", "terminal"),
    ],
)
def test_the_ending_chooses_the_format(command: tuple[str, ...], name: str, form: str, tmp_path: Path) -> None:
    assert run(*command, "--out", str(tmp_path / name)) == ""
    assert kind((tmp_path / name).read_text(encoding="utf-8")) == form


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_dash_is_standard_output_in_the_requested_format(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*command, "--out", "-") == run(*command)
    assert kind(run(*command, "--out", "-", "--format", "csv")) == "csv"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [*COMMANDS, ("analyze", "theorem"), ("analyze", "shortcut", "--db", "sqlite:///absent.sqlite"), ("bench", "cpu")],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--out", "r"), r"no ending that names the format; end it in .txt, .md, .html, .tex, .csv or .json"),
        (("--out", "r.xlsx"), r'".xlsx" is not a supported format; end it in .txt, .md, .html, .tex, .csv or .json'),
        (("--out", "r.csv", "--format", "json"), "this name asks for csv, --format json does not; leave one"),
    ],
)
def test_a_name_without_a_format_or_with_another_is_refused_before_the_measurement(
    command: tuple[str, ...], words: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AsapbenchError, match=says):
        run(*command, *words)
    assert not list(tmp_path.iterdir())


def test_the_format_option_decides_where_the_ending_names_none(tmp_path: Path) -> None:
    run("report", "--table", "3", "--format", "csv", "--out", str(tmp_path / "r.dat"))
    assert kind((tmp_path / "r.dat").read_text(encoding="utf-8")) == "csv"


def test_the_html_of_a_figure_has_its_picture_above_its_numbers(tmp_path: Path) -> None:
    run("report", "--figure", "11", "--out", str(tmp_path / "f.html"))
    run("report", "--table", "3", "--out", str(tmp_path / "t.html"))
    figure, table = ((tmp_path / name).read_text(encoding="utf-8") for name in ("f.html", "t.html"))
    assert 0 < figure.index("<svg") < figure.index("</svg>") < figure.index("<table")
    assert "<?xml" not in figure
    assert "<svg" not in table
