"""The Python in README and pages runs."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from documentation import DATABASE, LIBRARY, MEASURE, README, ROOT, blocks

from asapbench import attach, check, load_plugin
from asapbench.store import Store
from asapbench.suite.load import load


def run(text: str) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(text, "example", "exec"), names)
    return names


@pytest.fixture
def readme(tmp_path: Path, catalog_after: None) -> Path:
    """A folder with README's rule and the suite that trains it."""
    (rule,), (suite,) = blocks(README, "python"), blocks(README, "toml")
    (tmp_path / "aligned.py").write_text(rule, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(suite, encoding="utf-8")
    return tmp_path


def test_readmes_rule_has_ten_lines_and_keeps_what_it_declares(readme: Path) -> None:
    lines = [line for line in (readme / "aligned.py").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 10
    load_plugin(readme / "aligned.py")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
    assert check("aligned", model, torch.zeros(4, 1, 8, 8)).holds
    learner = attach(model, "aligned", torch.zeros(4, 1, 8, 8))
    assert all(torch.equal(weight, feedback) for _, weight, feedback in learner.feedback_pairs())


def test_readmes_suite_loads_the_rule(readme: Path) -> None:
    assert [cell.rule.name for cell in load(str(readme / "mine.toml")).cells][::3] == ["bp", "fa", "aligned"]


@pytest.mark.parametrize("text", [text for text in blocks(LIBRARY, "python") if "attach(" in text])
def test_the_librarys_python_trains(text: str) -> None:
    before = run(text.replace("optimizer.step()", ""))
    names = run(text)
    assert names["learner"].recursion is not None, "bind says that it holds the feedback as W - s D0"
    assert int(names["learner"].recursion.steps) == 1
    assert int(before["learner"].recursion.steps) == 0


def test_the_query_of_the_database_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store.open() as store:
        store.record_suite("quickstart", "shipped", load("quickstart").cells)
    (query,) = (text for text in blocks(DATABASE, "python") if "sqlite3" in text)
    database = run(query)["database"]
    columns = {view: [row[1] for row in database.execute(f"PRAGMA table_info({view})")] for view in VIEWS}
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    database.close()
    assert not Path("results/asapbench.sqlite-wal").exists(), "the example leaves nothing behind"
    page = DATABASE.read_text(encoding="utf-8")
    result = columns["result"]
    del result[result.index("discard_reason") + 1 :]  # the others are the options of the cells here
    for view, names in columns.items():
        start = page.index(f"- `{view}`: ")
        listed = page[start : page.index("\n\n", start)].split("\n- ")[0]
        assert [name for name in names if f"`{name}`" not in listed] == [], view
    assert {name for name in tables if f"`{name}`" not in page} == set()


VIEWS = ("result", "learning_curve", "alignment_curve", "gradient_quality_curve", "analysis_result")


def test_the_way_to_kept_weights_runs(kept_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept_weights)
    (example,) = (text for text in blocks(MEASURE, "python") if "load_model" in text)
    names = run(example)
    assert names["model"](torch.zeros(1, 1, 8, 8)).shape == (1, 10)


@pytest.mark.slow
def test_the_library_example_learns(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "library.py"), run_name="__main__")
    accuracies = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines())
    assert set(accuracies) == {"bp", "asap", "fa"}
    assert all(float(accuracy) > 60 for accuracy in accuracies.values())


@pytest.mark.slow
def test_the_example_on_two_processes_learns() -> None:
    script = str(ROOT / "examples" / "data_parallel.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout.split()[-1]) < 1.5  # of 2.3 at first


@pytest.mark.slow
def test_torchvisions_network_learns_by_a_rule(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "torchvision_network.py"), run_name="__main__")
    assert float(capsys.readouterr().out.split()[1]) > 0.8
