import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asapbench.cli.report import report
from asapbench.errors import AsapbenchError, StoreError
from asapbench.report.out import write_whole

app = typer.Typer()
app.command()(report)


def run(*words: str) -> str:
    found = CliRunner().invoke(app, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_table_3_needs_neither_a_database_nor_sqlalchemy_nor_torch() -> None:
    code = (
        "import sys\nfrom asapbench.cli import app\napp(['report', '--table', '3'], standalone_mode=False)\n"
        "print([n for n in ('torch', 'sqlalchemy', 'numpy') if n in sys.modules], file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "3e-2" in found.stdout
    assert found.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), r"name what to report: --table \(1 to 5, A.2\), --figure \(6, 9, 10, 11\), --curves accuracy"),
        (("--table", "1", "--suite", "mnist"), "only one of --table, --suite"),
        (("--table", "9"), "the paper has no such table; there are 1 to 5, and A.2"),
        (("--table", "3", "--metric", "last"), "no metric"),
        (("--table", "3", "--allow-deviations"), "leave it out"),
        (("--table", "1", "--figure", "6", "--suite", "mnist"), "only one of --table, --figure, --suite"),
        (("--figure", "11", "--out", "memory.jpg"), "in .png, .svg or .pdf"),
        (("--suite", "mnist", "--allow-deviations"), "leave it out"),
        (("--table", "3", "--spread", "ci"), "Table 3 holds learning rates, which have no spread"),
        (
            ("--figure", "11", "--spread", "ci"),
            "--spread: goes with --table, --suite, --curves, --tuned, not",
        ),
    ],
)
def test_what_cannot_be_reported_is_an_error_that_says_what_can(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(AsapbenchError, match=said):
        run(*words)


def test_a_missing_database_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none\.sqlite"):
        run("--table", "1", "--db", f"sqlite:///{tmp_path}/none.sqlite")


def test_out_writes_the_whole_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table3.json"
    target.write_text("old")
    assert run("--table", "3", "--format", "json", "--out", str(target)) == ""
    assert len(json.loads(target.read_text())["numbers"]) == 70
    assert list(tmp_path.iterdir()) == [target]


def test_out_in_a_missing_directory_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(AsapbenchError, match=r"there is no directory .*nowhere; create it first"):
        run("--table", "3", "--out", str(tmp_path / "nowhere" / "t.md"))
    with pytest.raises(AsapbenchError, match="this is a directory"):
        run("--table", "3", "--out", str(tmp_path))


def test_columns_set_the_width_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert run("--table", "3").count("Model") > 1
    monkeypatch.setenv("COLUMNS", "80")
    assert run("--table", "3").count("Model ") == 1


def test_a_suite_in_a_database_is_reported(tmp_path: Path) -> None:
    from asapbench.store import Store
    from asapbench.suite.load import load

    url = f"sqlite:///{tmp_path}/results.sqlite"
    with Store.open(url) as store:
        store.record_suite("quickstart", "shipped", load("quickstart").cells)
    text = run("--suite", "quickstart", "--db", url)
    assert "30 of 30 cells not finished (30 pending)" in text
    assert "asapbench run mnist" in run("--table", "1", "--db", url)
    with pytest.raises(AsapbenchError, match=r"quickstart.* To train it: asapbench run"):
        run("--suite", "quickstrt", "--db", url)


def test_the_password_of_a_database_stands_in_no_report() -> None:
    from asapbench.store import DEFAULT_URL, db_option

    assert db_option(DEFAULT_URL) == ""
    assert db_option("postgresql+psycopg://me:s3cret@host/db") == " --db 'postgresql+psycopg://me:***@host/db'"
    assert db_option("sqlite:///a b.sqlite") == " --db 'sqlite:///a b.sqlite'"


def test_what_a_killed_report_with_this_process_number_left_does_not_stop_the_next(tmp_path):
    (tmp_path / f".t.md.{os.getpid()}.tmp").touch()
    write_whole(tmp_path / "t.md", "a table")
    assert (tmp_path / "t.md").read_text() == "a table"
