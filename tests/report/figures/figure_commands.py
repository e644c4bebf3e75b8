"""`asapbench report` and `asapbench analyze` in this process."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from asapbench.cli import analyze as analysis
from asapbench.cli.report import report as report_command
from asapbench.report.figures.style import Sheet

BARE = Sheet(heading=False)
"""On it a figure's panels are its `axes`: with a heading they are those of a figure inside."""

_report = typer.Typer()
_report.command()(report_command)


def report(*words: str) -> str:
    """What `asapbench report WORDS` prints."""
    return _output(_report, words)


def analyze(*words: str) -> str:
    """What `asapbench analyze WORDS` prints."""
    return _output(analysis.app, words)


def _output(app: typer.Typer, words: tuple[str, ...]) -> str:
    # As wide as every table: a test process may have 80 columns or none.
    found = CliRunner(env={"COLUMNS": "120"}).invoke(app, words, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout
