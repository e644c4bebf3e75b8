"""`--measured`: every command that reads results reads those that come with asapbench, with no run at all."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commands import Commands

from asapbench.store import Store

SAYS_SO = "Measured results that come with asapbench."
FIRST = "018f9d0b0b"
"""A cell of quickstart."""


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("report --suite quickstart", "98.72 ± 0.37"),
        ("report --suite quickstart --format markdown", "**98.72 ± 0.37**"),
        ("report --tuned tuned_small", "47.61 ± 0.17"),
        ("report --table 1 --allow-deviations", "91.99"),
        ("report --curves accuracy --suite cifar10", "91.97"),
        ("compare asap fa --suite quickstart", "ASAP better"),
        ("list quickstart --only seed=0", FIRST),
        ("ls quickstart --only seed=0", FIRST),
        (f"show {FIRST}", "Digits ResNet-10(width=8) BP seed 0"),
    ],
)
def test_a_command_shows_them_and_says_so(asapbench: Commands, command: str, shown: str) -> None:
    said = asapbench(*shlex.split(command), "--measured")
    assert (said.status, said.err) == (0, "")
    assert shown in said.out
    assert SAYS_SO in said.out
    assert list(Path.cwd().iterdir()) == []


def test_a_cell_without_a_host_has_its_device_alone(asapbench: Commands) -> None:
    (row,) = [line for line in asapbench("show", FIRST, "--measured").out.splitlines() if line.startswith("     1 ")]
    assert row.endswith("  cpu")


@pytest.mark.parametrize("suite", ["quickstart", "cifar10", "feedback_cpu", "local_cpu", "tuned_small", "precision"])
def test_each_suite_is_there_by_its_name(asapbench: Commands, suite: str) -> None:
    said = asapbench("report", "--suite", suite, "--measured")
    assert (said.status, said.err) == (0, "")
    assert f"(suite {suite})" in said.out


def test_own_results_do_not_say_so(asapbench: Commands) -> None:
    assert asapbench("export", "own.sqlite", "quickstart", "--measured").status == 0
    said = asapbench("report", "--suite", "quickstart", "--db", "own.sqlite")
    assert "98.72 ± 0.37" in said.out
    assert SAYS_SO not in said.out


def test_the_page_is_made_of_them(asapbench: Commands) -> None:
    assert asapbench("html", "quickstart", "--measured").status == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "From the measured results that come with asapbench" in page
    assert "98.72" in page


@pytest.mark.parametrize(
    "command",
    ["report --suite quickstart", "compare asap fa", "list", f"show {FIRST}", "html", "serve", "export x.csv"],
)
def test_two_databases_are_one_error(asapbench: Commands, command: str) -> None:
    said = asapbench(*shlex.split(command), "--measured", "--db", "mine.sqlite")
    assert (said.status, said.out) == (2, "")
    assert "Error: --measured reads the results that come with asapbench, --db others: give one of them.\n" in said.err


def test_it_replaces_the_database_of_the_environment(asapbench: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASAPBENCH_DB", "no_such.sqlite")
    assert asapbench("report", "--suite", "quickstart", "--measured").status == 0


def test_a_command_that_trains_or_writes_does_not_have_it(asapbench: Commands) -> None:
    for command in ("run quickstart", "resume", f"rerun --only cell={FIRST}", f"discard {FIRST} --reason x", "upgrade"):
        said = asapbench(*shlex.split(command), "--measured")
        assert (said.status, "No such option" in said.err) == (2, True), command


def test_printed_commands_read_them_and_train_in_a_copy(asapbench: Commands) -> None:
    said = asapbench("report", "--suite", "precision", "--measured").out
    copy, resume = re.findall(r"^    (asapbench .*)$", said, re.MULTILINE)
    assert asapbench(*shlex.split(copy)[1:]).status == 0
    assert "To train: 32" in asapbench(*shlex.split(resume)[1:], "--dry-run").out
    with Store.read_only("mine.sqlite") as store:
        assert store.results(suite="quickstart")


def test_a_suite_that_they_lack_is_named_with_a_way_to_train_it(asapbench: Commands) -> None:
    said = asapbench("report", "--suite", "pepita", "--measured")
    assert said.err.endswith("asapbench export mine.sqlite --measured && asapbench run pepita --db mine.sqlite\n")
