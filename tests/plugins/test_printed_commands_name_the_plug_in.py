"""A command that a message names works as it is printed: it names the plug-ins that the user named."""

from pathlib import Path

import pytest
from in_process import asapbench

from asapbench.store import Store

PLUGIN = """\
from asapbench.suite.entries import TRAIN_SIZE, DatasetEntry

entry = DatasetEntry("theirs", "Theirs", "here", options=(TRAIN_SIZE,))
"""
SUITE = """\
[suite]
name = "mine"
[[grid]]
dataset = "theirs"
model = "mlp"
rule = "bp"
lr = 0.1
"""


def test_a_report_and_status_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asapbench.suite.load import parse
    from asapbench.suite.plugins import load

    monkeypatch.chdir(tmp_path)
    Path("my rules.py").write_text(PLUGIN)
    load("my rules.py")
    with Store.open("x.sqlite") as store:
        store.record_suite("mine", "mine.toml", parse(SUITE, source="mine.toml").cells, text=SUITE)
    options = ("--plugin", "my rules.py", "--db", "x.sqlite")
    resume = "asapbench resume mine --plugin 'my rules.py' --db x.sqlite\n"
    assert resume in asapbench("report", "--suite", "mine", *options).out
    assert resume in asapbench("status", "mine", *options).out
