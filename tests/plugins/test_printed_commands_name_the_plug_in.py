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


@pytest.mark.parametrize(("listed", "option"), [('plugins = ["rules.py"]', ""), ("", " --plugin rules.py")])
def test_a_page_to_send_names_the_plug_in_only_where_the_suite_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str, option: str
) -> None:
    from asapbench.report.page import page
    from asapbench.suite.load import parse
    from asapbench.suite.plugins import load

    (tmp_path / "theirs").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs/rules.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path / "mine")
    load("../theirs/rules.py")
    text = SUITE.replace("[[grid]]", f"{listed}\n[[grid]]")
    cell, *others = parse(text, source="mine.toml").cells
    with Store.open(f"sqlite:///{tmp_path}/x.sqlite") as store:
        store.record_suite("mine", str(tmp_path / "theirs/mine.toml"), [cell, *others], text=text)
    html = page(f"sqlite:///{tmp_path}/x.sqlite")
    assert f">asapbench run mine.toml --only cell={cell.short}{option}<" in html
    assert "asapbench resume mine --plugin rules.py --db x.sqlite<" in html
    assert "../theirs" not in html
    assert str(tmp_path) not in html
