"""Which version of a plug-in made a result: another one is never taken for the loaded one without a word."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from small_runs import DB, query, run

from asapbench.suite.plugins import shortened

PLUGIN = Path(__file__).with_name("my_rules.py")
SUITE = """\
[suite]
name = "{name}"
plugins = ["my_rules.py"]

[defaults]
dataset = {{ name = "digits", train_size = 64 }}
epochs = 1
batch_size = 32

[[grid]]
model = {{ name = "tower", width = 1 }}
rule = {{ name = "asfa", k = 1 }}
lr = 1e-3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two suites of the same cell, each with a plug-in of its own; that of a is trained."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "suite.toml").write_text(SUITE.format(name=name))
        shutil.copy(PLUGIN, tmp_path / name / "my_rules.py")
    change(tmp_path / "b")
    run(tmp_path, "run", "a/suite.toml")
    return tmp_path


def change(folder: Path) -> None:
    with (folder / "my_rules.py").open("a") as plugin:
        plugin.write("# changed\n")


def said(folder: Path, *arguments: str) -> str:
    return " ".join(run(folder, *arguments).split())


def versions(folder: Path) -> list[str]:
    """The version of the rule's plug-in, by attempt."""
    rows = query(folder, "SELECT versions FROM attempt JOIN provenance p ON p.id = provenance_id ORDER BY number")
    return [json.loads(row[0])["rule asfa"] for row in rows]


@pytest.mark.slow
def test_a_suite_trains_with_the_plug_in_that_its_own_file_names(folder: Path) -> None:
    warned = said(folder, "run", "b/suite.toml", "--dry-run")
    ran = said(folder, "run", "b/suite.toml")
    ((cell,),) = query(folder, "SELECT id FROM cell")
    assert "b: cells done by another version of the plug-in of rule asfa (my_rules 0.3 sha256:" in ran
    assert f"asapbench rerun b --only cell={cell[:10]}" in ran
    assert f"asapbench rerun b --only cell={cell[:10]}" in warned
    reported = said(folder, "report", "--suite", "b", "--plugin", "b/my_rules.py")
    assert "Results of the rule asfa come from another version of its plug-in (my_rules 0.3 sha256:" in reported
    (folder / "other").mkdir()
    again = said(folder / "other", "rerun", "a", "--db", f"sqlite:///{folder / DB}")
    assert "another version" not in again
    first, second = versions(folder)
    assert first == second
    run(folder, "rerun", "b")
    assert versions(folder)[2] != first


@pytest.mark.slow
def test_a_cell_that_resumes_with_a_changed_plug_in_is_not_bit_exact_and_says_so(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DB)) as database, database:
        database.execute("UPDATE attempt SET state = 'interrupted'")
    change(folder / "a")
    resumed = said(folder, "resume", "a")
    assert "a: cells started by another version of the plug-in of rule asfa (my_rules 0.3 sha256:" in resumed
    assert "1; they continue with the one loaded now" in resumed
    ((cell,),) = query(folder, "SELECT id FROM cell")
    shown = [one for one in run(folder, "show", cell).splitlines() if one.startswith("plug-ins ")]
    assert shown == [f"plug-ins of attempt {n}: {shortened(one)}" for n, one in enumerate(versions(folder), start=1)]
    assert query(folder, "SELECT state, bit_exact FROM attempt ORDER BY number") == [("interrupted", 1), ("done", 0)]
    assert "come from different versions of its plug-in" in said(folder, "report", "--suite", "a/suite.toml")


def test_the_text_of_a_suite_that_was_not_run_here_loads_no_plug_in(folder: Path) -> None:
    with closing(sqlite3.connect(folder / DB)) as database, database:
        database.execute("UPDATE suite SET source = 'suite.toml'")  # as a merge records it
        database.execute("UPDATE cell SET config = json_remove(config, '$.places')")
        database.execute("UPDATE attempt SET state = 'interrupted'")
    assert "--plugin loads one" in run(folder / "a", "resume", "a", "--db", f"sqlite:///{folder / DB}", status=2)
