"""A command that a message names works as it is printed: it names the database that the user named."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commands import Commands

from asapbench.store import Store
from asapbench.suite.load import parse

DB = "my results.sqlite"
SUITE = """\
[suite]
name = "mine"
[[grid]]
dataset = { name = "digits", train_size = 64 }
model = "mlp"
rule = "bp"
lr = 0.1
epochs = 1
"""


@pytest.fixture
def recorded(asapbench: Commands) -> Commands:
    """`asapbench`, in a folder with a database of a suite of one cell that is not trained."""
    Path("mine.toml").write_text(SUITE)
    with Store.open(DB) as store:
        store.record_suite("mine", "mine.toml", parse(SUITE, source="mine.toml").cells, text=SUITE)
    return asapbench


@pytest.mark.parametrize(
    "command",
    [
        "show 0000000000",
        "show ffffffffff",
        "status",
        "report --suite mine",
        "report --suite quickstart",
        "report --table 1",
        "report --table A.2",
        "report --figure 6",
        "report --figure 9",
    ],
)
def test_it_has_the_option_db(recorded: Commands, command: str) -> None:
    said = recorded(*shlex.split(command), "--db", DB)
    named = re.findall(r"asapbench [^`\n]*", f"{said.out}{said.err}")
    assert named
    assert [one for one in named if f"--db '{DB}'" not in one] == []


def test_resume_names_the_suites_that_status_showed(recorded: Commands) -> None:
    assert f"To resume: asapbench resume mine --db '{DB}'\n" in recorded("status", "mine", "--db", DB).out


def test_an_empty_database_is_named_in_the_command_that_starts(asapbench: Commands) -> None:
    Store.open(DB).close()
    assert f"start with `asapbench run SUITE --db '{DB}'`" in asapbench("status", "--db", DB).err
